using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// GemmMma.ptx, GemmMmaNn.ptx and GemmMmaTn.ptx: bf16 matrix product on tensor cores of sm_80 and up,
/// c (m, n) = alpha (op(a) op(b) + op(a2) op(b2)) + beta c + bias, c in f32 or bf16. The second product shares the sums
/// of the first: with it a LoRA linear layer is one pass over its large matrices.
/// </summary>
public static class GemmMma
{
    private const int Tile = 128;

    /// <summary>
    /// Parameters of the three entries; strides and row pitches in elements, K2 0 without a second product, Bias 0
    /// without a bias, OutBf16 1 for a bf16 c.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(
        ulong A, ulong B, ulong C, long StrideA, long StrideB, long StrideC, ulong A2, ulong B2, ulong Bias, int M,
        int N, int K, int Lda, int Ldb, int Ldc, int K2, int Lda2, int Ldb2, float Alpha, float Beta, int OutBf16);

    /// <summary>A block per 128 x 128 tile of c.</summary>
    public static LaunchShape Shape(int m, int n, int batch) =>
        new(new Dim3((uint)(n + Tile - 1) / Tile, (uint)(m + Tile - 1) / Tile, (uint)batch), 256);

    /// <summary>
    /// True when the kernels can read a matrix in units of 16 bytes: its address and its pitches must allow it. Widths
    /// are free.
    /// </summary>
    public static bool Reads(ulong address, int pitch, long stride = 0) =>
        address % 16 == 0 && pitch % 8 == 0 && stride % 8 == 0;

    /// <summary>
    /// Queues the product. Layouts: nt a (m, k) b (n, k); nn a (m, k) b (k, n); tn a (k, m) b (k, n). a, b, a2 and b2
    /// must be ones that <see cref="Reads"/> accepts.
    /// </summary>
    /// <exception cref="ArgumentException">Both matrices are transposed; no entry takes that.</exception>
    public static void Launch(CudaStream stream, bool transA, bool transB, int batch, in Args args)
    {
        (string stem, string entry) = (transA, transB) switch
        {
            (false, true) => ("GemmMma", "gemm_mma_nt"),
            (false, false) => ("GemmMmaNn", "gemm_mma_nn"),
            (true, false) => ("GemmMmaTn", "gemm_mma_tn"),
            _ => throw new ArgumentException("[gemm_mma] a and b cannot both be transposed"),
        };
        stream.Context.Modules.Kernel<Args>(stem, entry).Launch(stream, Shape(args.M, args.N, batch), args);
    }
}
