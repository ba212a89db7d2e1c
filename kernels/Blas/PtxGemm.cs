using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Blas;

/// <summary>
/// Matrix products by the project's own mma.sync kernels, for machines without cuBLAS: bf16 inputs on sm_80 and up,
/// rows of
/// 16-byte multiples.
/// </summary>
public sealed class PtxGemm : IGemm
{
    /// <summary>The kernels of <paramref name="context"/>.</summary>
    public PtxGemm(CudaContext context) => ArgumentNullException.ThrowIfNull(context);

    /// <inheritdoc/>
    public string Name => "PTX mma.sync";

    /// <summary>As the interface says; refuses what the kernels do not serve.</summary>
    public void Run(CudaStream stream, in GemmShape shape, ulong a, ulong b, ulong c, float alpha = 1, float beta = 0)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (Refuses(shape) is { } why) throw new ArgumentException($"[gemm] {why}, but got {shape}");
        GemmMma.Launch(
            stream, shape.TransA, shape.TransB, shape.Batch,
            new(
                a, b, c, shape.StrideA, shape.StrideB, shape.StrideC, shape.M, shape.N, shape.K, shape.Lda, shape.Ldb,
                shape.Ldc, alpha, beta, shape.OutputType == GemmType.BF16 ? 1 : 0));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    private static string? Refuses(in GemmShape s)
    {
        GemmChecks.Check(s);
        if (s.InputType != GemmType.BF16) return "the PTX kernels take BF16";
        if (s.TransA && s.TransB) return "the PTX kernels take no product of two transposed matrices";
        int inner = s.TransA ? s.M : s.K;
        if ((s.N | inner | s.Lda | s.Ldb) % 8 != 0 || s.Ldc % 4 != 0)
            return $"the PTX kernels need multiples of 8 for n, {(s.TransA ? "m" : "k")} and rows, of 4 for rows of c";
        return null;
    }
}
