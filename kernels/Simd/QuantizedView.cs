using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// Pointers to a block-wise 4-bit matrix in the layout of bitsandbytes: codes of the flat row-major matrix, the first
/// of two in the high half of a byte; one scale per block of elements, which may reach from one row into the next.
/// </summary>
public unsafe struct QuantizedView
{
    /// <summary>Two codes per byte.</summary>
    public byte* Codes { readonly get; set; }

    /// <summary>Values of the 16 codes.</summary>
    public float* Codebook { readonly get; set; }

    /// <summary>Scale of each block, or null when the scales are codes themselves.</summary>
    public float* AbsMax { readonly get; set; }

    /// <summary>8-bit code of each block's scale, when <see cref="AbsMax"/> is null.</summary>
    public byte* AbsMaxCodes { readonly get; set; }

    /// <summary>Scale of each group of scales.</summary>
    public float* NestedAbsMax { readonly get; set; }

    /// <summary>Values of the 256 codes of scales.</summary>
    public float* NestedMap { readonly get; set; }

    /// <summary>Added to every scale decoded from its code.</summary>
    public float Offset { readonly get; set; }

    /// <summary>log2 of the elements of a block.</summary>
    public int BlockShift { readonly get; set; }

    /// <summary>log2 of the scales of a group.</summary>
    public int NestedShift { readonly get; set; }

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
