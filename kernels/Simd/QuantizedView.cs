using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// Pointers to a block-wise 4-bit matrix in the layout of bitsandbytes: codes of the flat row-major matrix, the first
/// of two in the high half of a byte; one scale per block of elements, which may reach from one row into the next.
/// </summary>
public unsafe struct QuantizedView
{
    /// <summary>Two codes per byte.</summary>
    public byte* Codes;

    /// <summary>Values of the 16 codes.</summary>
    public float* Codebook;

    /// <summary>Scale of each block, or null when the scales are codes themselves.</summary>
    public float* AbsMax;

    /// <summary>8-bit code of each block's scale, when <see cref="AbsMax"/> is null.</summary>
    public byte* AbsMaxCodes;

    /// <summary>Scale of each group of scales.</summary>
    public float* NestedAbsMax;

    /// <summary>Values of the 256 codes of scales.</summary>
    public float* NestedMap;

    /// <summary>Added to every scale decoded from its code.</summary>
    public float Offset;

    /// <summary>log2 of the elements of a block.</summary>
    public int BlockShift;

    /// <summary>log2 of the scales of a group.</summary>
    public int NestedShift;

    /// <summary>The scale of a block. With codes: the product is rounded, then the sum.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly float Scale(long block)
    {
        if (AbsMax != null)
            return AbsMax[block];
        float product = NestedMap[AbsMaxCodes[block]] * NestedAbsMax[block >> NestedShift];
        return product + Offset;
    }

    /// <summary>Elements <paramref name="first"/> and up of the flat matrix: codebook value times scale.</summary>
    internal readonly void Decode(long first, int count, float* target)
    {
        while (count > 0)
        {
            long block = first >> BlockShift;
            int run = (int)Math.Min(count, ((block + 1) << BlockShift) - first);
            NibbleDecode.Run(Codes, first, run, Scale(block), Codebook, target);
            first += run;
            count -= run;
            target += run;
        }
    }
}
