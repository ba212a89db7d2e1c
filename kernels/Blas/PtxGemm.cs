using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Blas;

/// <summary>
/// Matrix products by the project's own kernels, for machines without cuBLAS (sm_80 and up): bf16 on tensor cores where
/// rows are in units of 16 bytes (wgmma for large products on sm_90a), element by element elsewhere; f32 exact. Every layout, pitch and address is served.
/// </summary>
public sealed class PtxGemm : IGemm
{
    /// <summary>The kernels of <paramref name="context"/>.</summary>
    public PtxGemm(CudaContext context) => ArgumentNullException.ThrowIfNull(context);

    /// <inheritdoc/>
    public string Name => "PTX kernels";

    /// <summary>As the interface says; F16 is refused.</summary>
    public void Run(CudaStream stream, in GemmShape shape, ulong a, ulong b, ulong c, float alpha = 1, float beta = 0)
    {
        ArgumentNullException.ThrowIfNull(stream);
        GemmChecks.Check(shape);
        if (shape.InputType == GemmType.F16)
            throw new ArgumentException($"[gemm] the PTX kernels take F32 and BF16, but got {shape}");
        int narrow = shape.OutputType == GemmType.BF16 ? 1 : 0;
        GemmShape s = shape;
        // A batch goes into grid.z, whose end is 65535.
        for (int first = 0; first < s.Batch; first += MaxBatch)
        {
            int count = Math.Min(MaxBatch, s.Batch - first);
            int from = s.InputType == GemmType.F32 ? 4 : 2, to = narrow == 1 ? 2 : 4;
            Part(
                stream, s, count, a + (ulong)(first * s.StrideA * from), b + (ulong)(first * s.StrideB * from),
                c + (ulong)(first * s.StrideC * to), alpha, beta, narrow);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    private const int MaxBatch = 65535;

    // Whole tiles of 128 x 256 for the larger part; smaller results fill more of the device by mma.sync.
    private static bool IsForWgmma(CudaContext context, in GemmShape s, ulong a, ulong b, ulong c) =>
        context.Properties.Capability == 90 && !s.TransA && s.M >= 256 && s.N >= 256 && LoraWgmma.Reads(a, s.Lda)
        && LoraWgmma.Reads(b, s.Ldb) && LoraWgmma.Reads(c, s.Ldc);

    private static void Part(
        CudaStream stream, in GemmShape s, int batch, ulong a, ulong b, ulong c, float alpha, float beta, int narrow)
    {
        if (s.InputType == GemmType.F32)
        {
            GemmSimt.Launch(
                stream, batch,
                new GemmSimt.Args(
                    a, b, c, s.StrideA, s.StrideB, s.StrideC, s.M, s.N, s.K, s.Lda, s.Ldb, s.Ldc, s.TransA ? 1 : 0,
                    s.TransB ? 1 : 0, GemmSimt.Whole(a, s.TransA ? s.M : s.K, s.Lda, s.StrideA),
                    GemmSimt.Whole(b, s.TransB ? s.K : s.N, s.Ldb, s.StrideB), alpha, beta, narrow));
        }
        else if (alpha == 1 && beta == 0 && batch == 1 && narrow == 1 && IsForWgmma(stream.Context, s, a, b, c))
        {
            LoraWgmma.Args args = s.TransB
                ? LoraWgmma.Forward(
                    stream.Context, a, b, c, 0, 0, s.M, s.N, s.K, 0, s.Lda, s.Ldb, s.Ldc, 0, 0)
                : LoraWgmma.Backward(
                    stream.Context, a, b, c, 0, 0, s.M, s.N, s.K, 0, s.Lda, s.Ldb, s.Ldc, 0, 0);
            LoraWgmma.Launch(stream, backward: !s.TransB, args);
        }
        else if (!(s.TransA && s.TransB) && GemmMma.Reads(a, s.Lda, s.StrideA) && GemmMma.Reads(b, s.Ldb, s.StrideB))
        {
            GemmMma.Launch(
                stream, s.TransA, s.TransB, batch,
                new(
                    a, b, c, s.StrideA, s.StrideB, s.StrideC, 0, 0, 0, s.M, s.N, s.K, s.Lda, s.Ldb, s.Ldc, 0, 0, 0,
                    alpha, beta, narrow));
        }
        else
        {
            GemmSimt.Launch(
                stream, batch,
                new GemmSimt.Bf16Args(
                    a, b, c, s.StrideA, s.StrideB, s.StrideC, s.M, s.N, s.K, s.Lda, s.Ldb, s.Ldc, s.TransA ? 1 : 0,
                    s.TransB ? 1 : 0, alpha, beta, narrow));
        }
    }
}
