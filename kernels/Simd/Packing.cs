using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace CudaLora.Kernels.Simd;

/// <summary>Rearranges blocks of floats for the tiles. Strides are in elements.</summary>
internal static unsafe class Packing
{
    /// <summary>target (rows, cols) = source (rows, cols), each with its own row stride.</summary>
    public static void Copy(float* source, nint sourceStride, float* target, nint targetStride, int rows, int cols)
    {
        for (int row = 0; row < rows; row++)
            Unsafe.CopyBlockUnaligned(
                target + (row * targetStride), source + (row * sourceStride), (uint)cols * sizeof(float));
    }

    /// <summary>target (cols, rows) = source (rows, cols)ᵀ.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transpose(
        float* source, nint sourceStride, float* target, nint targetStride, int rows, int cols)
    {
        int row = 0;
        if (Avx.IsSupported)
        {
            for (; row <= rows - 8; row += 8)
            {
                float* from = source + (row * sourceStride);
                float* to = target + row;
                int col = 0;
                for (; col <= cols - 8; col += 8)
                    Transpose8(from + col, sourceStride, to + (col * targetStride), targetStride);
                for (; col < cols; col++)
                    for (int i = 0; i < 8; i++)
                        to[(col * targetStride) + i] = from[(i * sourceStride) + col];
            }
        }
        for (; row < rows; row++)
            for (int col = 0; col < cols; col++)
                target[(col * targetStride) + row] = source[(row * sourceStride) + col];
    }

    /// <summary>
    /// Column panels of a matrix that is stored (rows, cols): panel j holds columns j * width and up as (rows, width),
    /// and is padded with zeros when the matrix ends inside it.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void CopyPanels(float* source, nint stride, float* target, int rows, int cols, int width)
    {
        // Four panels side by side, so that a visit to a row reads more than one cache line.
        int full = cols / width;
        nint panel = (nint)rows * width;
        for (int j = 0; j < full; j += 4)
        {
            int count = Math.Min(4, full - j);
            for (int row = 0; row < rows; row++)
            {
                float* from = source + (row * stride) + (j * width);
                float* to = target + (j * panel) + (row * width);
                for (int i = 0; i < count; i++)
                    CopyRow(from + (i * width), to + (i * panel), width);
            }
        }
        int rest = cols - (full * width);
        if (rest == 0)
            return;
        for (int row = 0; row < rows; row++)
        {
            float* to = target + (full * panel) + (row * width);
            float* from = source + (row * stride) + (full * width);
            for (int i = 0; i < width; i++)
                to[i] = i < rest ? from[i] : 0;
        }
    }

    /// <summary>The panels of a matrix that is stored transposed, (cols, rows); padded as in CopyPanels.</summary>
    public static void TransposePanels(float* source, nint stride, float* target, int rows, int cols, int width)
    {
        for (int col = 0; col < cols; col += width)
        {
            int count = Math.Min(width, cols - col);
            if (count < width)
                new Span<float>(target, rows * width).Clear();
            Transpose(source + (col * stride), stride, target, width, count, rows);
            target += rows * width;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyRow(float* from, float* to, int width)
    {
        int i = 0;
        for (; i <= width - 8; i += 8)
            Vector256.Store(Vector256.Load(from + i), to + i);
        for (; i < width; i++)
            to[i] = from[i];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose8(float* from, nint stride, float* to, nint targetStride)
    {
        // Rows i and i + 4 share a register, so the crossing of the 128-bit halves costs loads and no shuffles.
        float* from4 = from + (4 * stride);
        nint stride3 = 3 * stride;
        Vector256<float> a0 = Pair(from, from4);
        Vector256<float> a1 = Pair(from + stride, from4 + stride);
        Vector256<float> a2 = Pair(from + (2 * stride), from4 + (2 * stride));
        Vector256<float> a3 = Pair(from + stride3, from4 + stride3);
        Vector256<float> b0 = Pair(from + 4, from4 + 4);
        Vector256<float> b1 = Pair(from + stride + 4, from4 + stride + 4);
        Vector256<float> b2 = Pair(from + (2 * stride) + 4, from4 + (2 * stride) + 4);
        Vector256<float> b3 = Pair(from + stride3 + 4, from4 + stride3 + 4);
        Store4(a0, a1, a2, a3, to, targetStride);
        Store4(b0, b1, b2, b3, to + (4 * targetStride), targetStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Pair(float* low, float* high)
        => Vector256.Create(Vector128.Load(low), Vector128.Load(high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store4(
        Vector256<float> r0, Vector256<float> r1, Vector256<float> r2, Vector256<float> r3, float* to, nint stride)
    {
        Vector256<float> low01 = Avx.UnpackLow(r0, r1);
        Vector256<float> high01 = Avx.UnpackHigh(r0, r1);
        Vector256<float> low23 = Avx.UnpackLow(r2, r3);
        Vector256<float> high23 = Avx.UnpackHigh(r2, r3);
        Avx.Shuffle(low01, low23, 0x44).Store(to);
        Avx.Shuffle(low01, low23, 0xEE).Store(to + stride);
        Avx.Shuffle(high01, high23, 0x44).Store(to + (2 * stride));
        Avx.Shuffle(high01, high23, 0xEE).Store(to + (3 * stride));
    }
}
