using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// The tile for operands that both run along k: C (rows, cols) = alpha * A (rows, k) B (cols, k)ᵀ + beta * C, with up
/// to 3 rows and 4 columns. Nothing is packed and nothing is broadcast: 7 loads feed 12 multiply-adds.
/// </summary>
internal static unsafe class DotTile<TLanes, TVec, TRows, TCols>
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
        TVec s00 = default, s01 = default, s02 = default, s03 = default;
        TVec s10 = default, s11 = default, s12 = default, s13 = default;
        TVec s20 = default, s21 = default, s22 = default, s23 = default;
        nint ldb3 = 3 * ldb;
        float* pa = a;
        float* pb = b;
        int p = 0;
        for (; p <= k - TLanes.Width; p += TLanes.Width)
        {
            TVec x0 = TLanes.Load(pa);
            TVec x1 = TRows.Count > 1 ? TLanes.Load(pa + lda) : default;
            TVec x2 = TRows.Count > 2 ? TLanes.Load(pa + (2 * lda)) : default;
            TVec y = TLanes.Load(pb);
            s00 = TLanes.MultiplyAdd(x0, y, s00);
            if (TRows.Count > 1)
                s10 = TLanes.MultiplyAdd(x1, y, s10);
            if (TRows.Count > 2)
                s20 = TLanes.MultiplyAdd(x2, y, s20);
            if (TCols.Count > 1)
            {
                y = TLanes.Load(pb + ldb);
                s01 = TLanes.MultiplyAdd(x0, y, s01);
                if (TRows.Count > 1)
                    s11 = TLanes.MultiplyAdd(x1, y, s11);
                if (TRows.Count > 2)
                    s21 = TLanes.MultiplyAdd(x2, y, s21);
                y = TLanes.Load(pb + (2 * ldb));
                s02 = TLanes.MultiplyAdd(x0, y, s02);
                if (TRows.Count > 1)
                    s12 = TLanes.MultiplyAdd(x1, y, s12);
                if (TRows.Count > 2)
                    s22 = TLanes.MultiplyAdd(x2, y, s22);
                y = TLanes.Load(pb + ldb3);
                s03 = TLanes.MultiplyAdd(x0, y, s03);
                if (TRows.Count > 1)
                    s13 = TLanes.MultiplyAdd(x1, y, s13);
                if (TRows.Count > 2)
                    s23 = TLanes.MultiplyAdd(x2, y, s23);
            }
            pa += TLanes.Width;
            pb += TLanes.Width;
        }

        Write(k - p, pa, pb, s00, alpha, beta, c);
        if (TCols.Count > 1)
        {
            Write(k - p, pa, pb + ldb, s01, alpha, beta, c + 1);
            Write(k - p, pa, pb + (2 * ldb), s02, alpha, beta, c + 2);
            Write(k - p, pa, pb + ldb3, s03, alpha, beta, c + 3);
        }
        if (TRows.Count > 1)
        {
            Write(k - p, pa + lda, pb, s10, alpha, beta, c + ldc);
            if (TCols.Count > 1)
            {
                Write(k - p, pa + lda, pb + ldb, s11, alpha, beta, c + ldc + 1);
                Write(k - p, pa + lda, pb + (2 * ldb), s12, alpha, beta, c + ldc + 2);
                Write(k - p, pa + lda, pb + ldb3, s13, alpha, beta, c + ldc + 3);
            }
        }
        if (TRows.Count > 2)
        {
            c += 2 * ldc;
            pa += 2 * lda;
            Write(k - p, pa, pb, s20, alpha, beta, c);
            if (TCols.Count > 1)
            {
                Write(k - p, pa, pb + ldb, s21, alpha, beta, c + 1);
                Write(k - p, pa, pb + (2 * ldb), s22, alpha, beta, c + 2);
                Write(k - p, pa, pb + ldb3, s23, alpha, beta, c + 3);
            }
        }
    }

    // The last k elements that fill no vector are added here.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Write(int tail, float* a, float* b, TVec sums, float alpha, float beta, float* c)
    {
        float sum = TLanes.Sum(sums);
        for (int i = 0; i < tail; i++)
            sum += a[i] * b[i];
        *c = beta == 0 ? alpha * sum : (alpha * sum) + (beta * *c);
    }
}
