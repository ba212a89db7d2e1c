using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// A row-major matrix that a product reads as floats, whatever its storage: packing decodes it, so that a compressed
/// weight is never expanded as a whole.
/// </summary>
internal unsafe interface IPanelSource<TSelf>
    where TSelf : struct, IPanelSource<TSelf>
{
    /// <summary>The matrix itself where it is stored as floats, else null.</summary>
    float* Direct { get; }

    /// <summary>Elements from one row to the next.</summary>
    nint Stride { get; }

    /// <summary>Writes <paramref name="count"/> elements of a row as floats.</summary>
    void Decode(nint row, nint column, int count, float* target);

    /// <summary>The matrix that begins this many elements later.</summary>
    TSelf Offset(nint elements);
}

internal readonly unsafe struct F32Source(float* values, nint stride) : IPanelSource<F32Source>
{
    public float* Direct => values;

    public nint Stride => stride;

    public void Decode(nint row, nint column, int count, float* target)
        => Unsafe.CopyBlockUnaligned(target, values + (row * stride) + column, (uint)count * sizeof(float));

    public F32Source Offset(nint elements) => new(values + elements, stride);
}

/// <summary>bfloat16: the upper half of a float.</summary>
internal readonly unsafe struct Bf16Source(ushort* values, nint stride) : IPanelSource<Bf16Source>
{
    public float* Direct => null;

    public nint Stride => stride;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Decode(nint row, nint column, int count, float* target)
    {
        ushort* source = values + (row * stride) + column;
        int i = 0;
        if (Vector128.IsHardwareAccelerated)
        {
            for (; i <= count - 8; i += 8)
            {
                Vector128<ushort> packed = Vector128.Load(source + i);
                (Vector128.WidenLower(packed) << 16).AsSingle().Store(target + i);
                (Vector128.WidenUpper(packed) << 16).AsSingle().Store(target + i + 4);
            }
        }
        for (; i < count; i++)
            target[i] = BitConverter.UInt32BitsToSingle((uint)source[i] << 16);
    }

    public Bf16Source Offset(nint elements) => new(values + elements, stride);
}
