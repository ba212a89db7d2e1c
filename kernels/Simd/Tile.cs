using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// The register tile of the matrix product: C (rows, TCols) = alpha * A (rows, k) B (k, TCols) + beta * C with one or
/// two vectors of columns.
/// A is read in place, one broadcast per element; B is a packed panel or a matrix whose rows are long enough.
/// k is summed in order, one fused multiply-add per step, so an element has the same bits wherever its tile starts.
/// </summary>
internal static unsafe class Tile<TLanes, TVec, TRows, TCols>
    where TLanes : struct, ILanes<TVec>
    where TVec : struct
    where TRows : struct, IRows
    where TCols : struct, IRows
{
    /// <summary>Strides are in elements. beta = 0 does not read C.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(
        int k, float* a, nint lda, float* b, nint ldb, float alpha, float beta, float* c, nint ldc)
    {
        TVec c0L = default, c0R = default, c1L = default, c1R = default;
        TVec c2L = default, c2R = default, c3L = default, c3R = default;
        TVec c4L = default, c4R = default, c5L = default, c5R = default;
        TVec c6L = default, c6R = default, c7L = default, c7R = default;
        TVec c8L = default, c8R = default, c9L = default, c9R = default;
        TVec c10L = default, c10R = default, c11L = default, c11R = default;

        // Three rows per pointer: the other two are one index register away.
        nint ld2 = 2 * lda;
        float* a0 = a;
        float* a3 = a + (3 * lda);
        float* a6 = a + (6 * lda);
        float* a9 = a + (9 * lda);
        for (int p = 0; p < k; p++)
        {
            TVec left = TLanes.Load(b);
            TVec right = TCols.Count > 1 ? TLanes.Load(b + TLanes.Width) : default;
            b += ldb;

            TVec x0 = TLanes.Splat(a0[0]);
            c0L = TLanes.MultiplyAdd(x0, left, c0L);
            if (TCols.Count > 1)
                c0R = TLanes.MultiplyAdd(x0, right, c0R);
            if (TRows.Count > 1)
            {
                TVec x1 = TLanes.Splat(a0[lda]);
                c1L = TLanes.MultiplyAdd(x1, left, c1L);
                if (TCols.Count > 1)
                    c1R = TLanes.MultiplyAdd(x1, right, c1R);
            }
            if (TRows.Count > 2)
            {
                TVec x2 = TLanes.Splat(a0[ld2]);
                c2L = TLanes.MultiplyAdd(x2, left, c2L);
                if (TCols.Count > 1)
                    c2R = TLanes.MultiplyAdd(x2, right, c2R);
                a0++;
            }
            if (TRows.Count > 3)
            {
                TVec x3 = TLanes.Splat(a3[0]);
                c3L = TLanes.MultiplyAdd(x3, left, c3L);
                if (TCols.Count > 1)
                    c3R = TLanes.MultiplyAdd(x3, right, c3R);
            }
            if (TRows.Count > 4)
            {
                TVec x4 = TLanes.Splat(a3[lda]);
                c4L = TLanes.MultiplyAdd(x4, left, c4L);
                if (TCols.Count > 1)
                    c4R = TLanes.MultiplyAdd(x4, right, c4R);
            }
            if (TRows.Count > 5)
            {
                TVec x5 = TLanes.Splat(a3[ld2]);
                c5L = TLanes.MultiplyAdd(x5, left, c5L);
                if (TCols.Count > 1)
                    c5R = TLanes.MultiplyAdd(x5, right, c5R);
                a3++;
            }
            if (TRows.Count > 6)
            {
                TVec x6 = TLanes.Splat(a6[0]);
                c6L = TLanes.MultiplyAdd(x6, left, c6L);
                if (TCols.Count > 1)
                    c6R = TLanes.MultiplyAdd(x6, right, c6R);
            }
            if (TRows.Count > 7)
            {
                TVec x7 = TLanes.Splat(a6[lda]);
                c7L = TLanes.MultiplyAdd(x7, left, c7L);
                if (TCols.Count > 1)
                    c7R = TLanes.MultiplyAdd(x7, right, c7R);
            }
            if (TRows.Count > 8)
            {
                TVec x8 = TLanes.Splat(a6[ld2]);
                c8L = TLanes.MultiplyAdd(x8, left, c8L);
                if (TCols.Count > 1)
                    c8R = TLanes.MultiplyAdd(x8, right, c8R);
                a6++;
            }
            if (TRows.Count > 9)
            {
                TVec x9 = TLanes.Splat(a9[0]);
                c9L = TLanes.MultiplyAdd(x9, left, c9L);
                if (TCols.Count > 1)
                    c9R = TLanes.MultiplyAdd(x9, right, c9R);
            }
            if (TRows.Count > 10)
            {
                TVec x10 = TLanes.Splat(a9[lda]);
                c10L = TLanes.MultiplyAdd(x10, left, c10L);
                if (TCols.Count > 1)
                    c10R = TLanes.MultiplyAdd(x10, right, c10R);
            }
            if (TRows.Count > 11)
            {
                TVec x11 = TLanes.Splat(a9[ld2]);
                c11L = TLanes.MultiplyAdd(x11, left, c11L);
                if (TCols.Count > 1)
                    c11R = TLanes.MultiplyAdd(x11, right, c11R);
                a9++;
            }
            if (TRows.Count % 3 != 0)
            {
                a0 += TRows.Count < 3 ? 1 : 0;
                a3 += TRows.Count is > 3 and < 6 ? 1 : 0;
                a6 += TRows.Count is > 6 and < 9 ? 1 : 0;
                a9 += TRows.Count is > 9 and < 12 ? 1 : 0;
            }
        }

        TVec scale = TLanes.Splat(alpha);
        TVec keep = TLanes.Splat(beta);
        bool read = beta != 0;
        Write(c + (0 * ldc), c0L, c0R, scale, keep, read);
        if (TRows.Count > 1)
            Write(c + (1 * ldc), c1L, c1R, scale, keep, read);
        if (TRows.Count > 2)
            Write(c + (2 * ldc), c2L, c2R, scale, keep, read);
        if (TRows.Count > 3)
            Write(c + (3 * ldc), c3L, c3R, scale, keep, read);
        if (TRows.Count > 4)
            Write(c + (4 * ldc), c4L, c4R, scale, keep, read);
        if (TRows.Count > 5)
            Write(c + (5 * ldc), c5L, c5R, scale, keep, read);
        if (TRows.Count > 6)
            Write(c + (6 * ldc), c6L, c6R, scale, keep, read);
        if (TRows.Count > 7)
            Write(c + (7 * ldc), c7L, c7R, scale, keep, read);
        if (TRows.Count > 8)
            Write(c + (8 * ldc), c8L, c8R, scale, keep, read);
        if (TRows.Count > 9)
            Write(c + (9 * ldc), c9L, c9R, scale, keep, read);
        if (TRows.Count > 10)
            Write(c + (10 * ldc), c10L, c10R, scale, keep, read);
        if (TRows.Count > 11)
            Write(c + (11 * ldc), c11L, c11R, scale, keep, read);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Write(float* c, TVec left, TVec right, TVec scale, TVec keep, bool read)
    {
        One(c, left, scale, keep, read);
        if (TCols.Count > 1)
            One(c + TLanes.Width, right, scale, keep, read);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void One(float* c, TVec value, TVec scale, TVec keep, bool read)
    {
        value = TLanes.Multiply(value, scale);
        if (read)
            value = TLanes.MultiplyAdd(TLanes.Load(c), keep, value);
        TLanes.Store(c, value);
    }
}
