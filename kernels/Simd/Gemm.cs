using System.Runtime.Intrinsics;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// Single-precision matrix product of the CPU, C (m, n) = alpha * op(A) (m, k) op(B) (k, n) + beta * C. Matrices are
/// row-major with a row stride in elements (lda, ldb, ldc); op transposes when its flag is set, so that A is stored
/// (m, k) or (k, m) and B (k, n) or (n, k). Pointers need no alignment; C may not overlap A or B. beta = 0 writes C
/// without reading it, k = 0 leaves beta * C. The sums have a fixed order: the bits do not depend on the thread count.
/// Nothing is allocated once each thread has its work memory.
/// </summary>
public static unsafe class Gemm
{
    /// <summary>The product on all threads of <see cref="Workers"/>.</summary>
    public static void Run(
        bool transA, bool transB, int m, int n, int k, float alpha, float* a, int lda, float* b, int ldb,
        float beta, float* c, int ldc)
        => Run(
            SimdSupport.Best, true,
            Product(transA, transB, m, n, k, alpha, a, lda, new F32Source(b, ldb), beta, c, ldc), ldb);

    /// <summary>The product with B in bfloat16 (the upper half of each float).</summary>
    public static void Run(
        bool transA, bool transB, int m, int n, int k, float alpha, float* a, int lda, ushort* b, int ldb,
        float beta, float* c, int ldc)
    {
        var product = Product(transA, transB, m, n, k, alpha, a, lda, new Bf16Source(b, ldb), beta, c, ldc);
        if (!transA && transB && m is >= 1 and <= Bf16Gemv.MaxRows && Bf16Gemv.Supports)
        {
            Check(product, ldb);
            Bf16Gemv.Run(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
            return;
        }
        Run(SimdSupport.Best, true, product, ldb);
    }

    /// <summary>
    /// The product on the calling thread alone, for use inside an item of a parallel loop. Same bits.
    /// </summary>
    public static void RunSerial(
        bool transA, bool transB, int m, int n, int k, float alpha, float* a, int lda, float* b, int ldb,
        float beta, float* c, int ldc)
        => Run(
            SimdSupport.Best, false,
            Product(transA, transB, m, n, k, alpha, a, lda, new F32Source(b, ldb), beta, c, ldc), ldb);

    /// <summary>
    /// <paramref name="batch"/> products; matrix i begins i * stride elements after its pointer. Stride 0 shares A or B
    /// among all products; the blocks of C may not overlap.
    /// </summary>
    public static void RunBatched(
        int batch, bool transA, bool transB, int m, int n, int k,
        float alpha, float* a, int lda, long strideA, float* b, int ldb, long strideB,
        float beta, float* c, int ldc, long strideC)
        => RunBatched(
            SimdSupport.Best, batch,
            Product(transA, transB, m, n, k, alpha, a, lda, new F32Source(b, ldb), beta, c, ldc), ldb,
            strideA, strideB, strideC);

    internal static GemmProduct<TSource> Product<TSource>(
        bool transA, bool transB, int m, int n, int k, float alpha, float* a, int lda, TSource b,
        float beta, float* c, int ldc)
        where TSource : struct, IPanelSource<TSource> => new()
        {
            TransA = transA,
            TransB = transB,
            M = m,
            N = n,
            K = k,
            Alpha = alpha,
            Beta = beta,
            A = a,
            Lda = lda,
            B = b,
            C = c,
            Ldc = ldc,
        };

    internal static void Run<TSource>(SimdPath path, bool parallel, in GemmProduct<TSource> p, int ldb)
        where TSource : struct, IPanelSource<TSource>
    {
        Check(p, ldb);
        Compute(path, parallel, p);
    }

    internal static void RunBatched<TSource>(
        SimdPath path, int batch, GemmProduct<TSource> p, int ldb, long strideA, long strideB, long strideC)
        where TSource : struct, IPanelSource<TSource>
    {
        Check(p, ldb);
        if (batch < 0)
            throw new ArgumentException($"[gemm] batch must be 0 or more, but got {batch}");
        if (batch == 0 || p.M == 0 || p.N == 0)
            return;
        if (batch > 1 && Math.Abs(strideC) < ((long)(p.M - 1) * p.Ldc) + p.N)
            throw new ArgumentException(
                $"[gemm] matrices of C must not overlap, but got batch stride {strideC} " +
                $"(c ({p.M}, {p.N}), ldc {p.Ldc})");

        // One B for all, and rows of A and C that go on from matrix to matrix: a single taller product.
        if (strideB == 0 && !p.TransA && strideA == p.M * (long)p.Lda && strideC == p.M * (long)p.Ldc
            && p.M * (long)batch <= int.MaxValue)
        {
            p.M *= batch;
            Compute(path, true, p);
            return;
        }
        if (batch >= 2 * Workers.Count || p.Flops < GemmPlan.ForkFlops)
        {
            var body = new BatchBody<TSource>
            {
                Path = path,
                Product = p,
                StrideA = (nint)strideA,
                StrideB = (nint)strideB,
                StrideC = (nint)strideC,
            };
            if (p.Flops * batch < GemmPlan.ForkFlops)
            {
                for (int i = 0; i < batch; i++)
                    body.Execute(i);
                return;
            }
            Workers.Run(ref body, batch);
            return;
        }
        for (int i = 0; i < batch; i++)
            Compute(path, true, p.Offset((nint)strideA * i, (nint)strideB * i, (nint)strideC * i));
    }

    private static void Compute<TSource>(SimdPath path, bool parallel, in GemmProduct<TSource> p)
        where TSource : struct, IPanelSource<TSource>
    {
        if (p.M == 0 || p.N == 0)
            return;
        if (p.K == 0 || p.Alpha == 0)
        {
            ScaleOnly(p);
            return;
        }
        switch (path)
        {
            case SimdPath.Vector512: GemmPlan<Lanes512, Vector512<float>, TSource>.Run(p, parallel); break;
            case SimdPath.Vector256: GemmPlan<Lanes256, Vector256<float>, TSource>.Run(p, parallel); break;
            case SimdPath.Vector128: GemmPlan<Lanes128, Vector128<float>, TSource>.Run(p, parallel); break;
            default: GemmPlan<LanesScalar, float, TSource>.Run(p, parallel); break;
        }
    }

    private static void ScaleOnly<TSource>(in GemmProduct<TSource> p)
        where TSource : struct, IPanelSource<TSource>
    {
        for (int i = 0; i < p.M; i++)
        {
            var row = new Span<float>(p.C + (i * p.Ldc), p.N);
            if (p.Beta == 0)
                row.Clear();
            else if (p.Beta != 1)
                foreach (ref float value in row)
                    value *= p.Beta;
        }
    }

    private static void Check<TSource>(in GemmProduct<TSource> p, int ldb)
        where TSource : struct, IPanelSource<TSource>
    {
        if (p.M < 0 || p.N < 0 || p.K < 0)
            throw new ArgumentException($"[gemm] sizes must be 0 or more, but got m {p.M}, n {p.N}, k {p.K}");
        int rowA = p.TransA ? p.M : p.K;
        int rowB = p.TransB ? p.K : p.N;
        if (p.Lda < rowA || ldb < rowB || p.Ldc < p.N)
            throw new ArgumentException(
                $"[gemm] row strides must cover a row, but got lda {p.Lda} (row {rowA}), ldb {ldb} (row {rowB}), " +
                $"ldc {p.Ldc} (row {p.N})");
    }

    private struct BatchBody<TSource> : IParallelBody
        where TSource : struct, IPanelSource<TSource>
    {
        public SimdPath Path;
        public GemmProduct<TSource> Product;
        public nint StrideA;
        public nint StrideB;
        public nint StrideC;

        public readonly void Execute(int item)
            => Compute(Path, false, Product.Offset(StrideA * item, StrideB * item, StrideC * item));
    }
}
