using CudaLora.Kernels.Simd;

namespace CudaLora.Cli;

/// <summary>The two ceilings, matrix products, and the optimiser: kernels on pointers.</summary>
internal static unsafe class KernelCases
{
    /// <summary>The group of the ceilings.</summary>
    public const string Ceilings = "ceiling";

    private const double PeakFlops = 2e8;

    // Far more than caches hold.
    private const int CopyCount = 1 << 24;

    /// <summary>Independent multiply-adds between registers, on every thread.</summary>
    public static BenchCase Peak(int shrink) => new(
        Ceilings, "multiply-adds between registers", 0, PeakFlops / shrink,
        () => new BenchWork(() => FmaPeak.Run(PeakFlops / shrink)));

    /// <summary>Bytes read and written by a plain copy.</summary>
    public static BenchCase Copy(int shrink)
    {
        var count = CopyCount / shrink;
        return new BenchCase(Ceilings, $"copy of {count * sizeof(float) >> 10} KiB", 8.0 * count, 0, () =>
        {
            NativeBlock from = new(count, 1), to = new(count, 2);
            return new BenchWork(() => VectorOps.Copy(from.Pointer, to.Pointer, count), from, to);
        });
    }

    public static IEnumerable<BenchCase> Products(int shrink)
    {
        var (tokens, width, rank) = (1024 / shrink, 1024 / shrink, Math.Max(1, 16 / shrink));
        yield return Product("square", 512 / shrink, 512 / shrink, 512 / shrink);
        yield return Product("square", 1024 / shrink, 1024 / shrink, 1024 / shrink);
        yield return Product("y = x Wᵀ", tokens, width, width, transB: true);
        yield return Product("S = x Aᵀ", tokens, rank, width, transB: true);
        yield return Product("y += S Bᵀ", tokens, width, rank, transB: true, beta: 1);
        yield return Product("dS = dy B", tokens, rank, width);
        yield return Product("dA += dSᵀ x", rank, width, tokens, transA: true, beta: 1);
        yield return Product("dB += dyᵀ S", width, rank, tokens, transA: true, beta: 1);
        yield return Product("y = x Wᵀ", 1, 2 * width, 2 * width, transB: true);
        yield return Product("y = x Wᵀ", 16, 2 * width, 2 * width, transB: true);
    }

    public static BenchCase AdamW(int shrink)
    {
        var n = (1 << 22) / shrink;
        // p, m and v read and written, g read.
        return new BenchCase("optimiser", $"AdamW, {Figures.Count(n)} values", 28.0 * n, 14.0 * n, () =>
        {
            NativeBlock p = new(n, 1), g = new(n, 2), m = new(n, 3), v = new(n, 4);
            VectorOps.Fill(v.Pointer, 1e-4f, n);
            var step = new AdamWStep(1e-4, 0.9, 0.999, 1e-8, 0.01, 10);
            return new BenchWork(
                () => AdamWKernel.Step(p.Pointer, g.Pointer, m.Pointer, v.Pointer, n, step), p, g, m, v);
        });
    }

    private static BenchCase Product(
        string name, int m, int n, int k, bool transA = false, bool transB = false, float beta = 0)
    {
        var bytes = sizeof(float) * (((double)m * k) + ((double)n * k) + ((double)m * n * (beta == 0 ? 1 : 2)));
        return new BenchCase("product", $"{name}, {m} x {n} x {k}", bytes, 2.0 * m * n * k, () =>
        {
            NativeBlock a = new((long)m * k, 1), b = new((long)n * k, 2), c = new((long)m * n, 3);
            return new BenchWork(
                () => Gemm.Run(
                    transA, transB, m, n, k, 1, a.Pointer, transA ? m : k, b.Pointer, transB ? k : n, beta,
                    c.Pointer, n),
                a, b, c);
        });
    }
}
