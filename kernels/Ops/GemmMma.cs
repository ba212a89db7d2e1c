using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// GemmMma.ptx, GemmMmaNn.ptx and GemmMmaTn.ptx: bf16 matrix product on tensor cores of sm_80 and up,
/// c (m, n) = alpha op(a) op(b) + beta c, c in f32 or bf16.
/// </summary>
public static class GemmMma
{
    private const int Tile = 128;

    /// <summary>Parameters of the three entries; strides in elements, OutBf16 1 for a bf16 c.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(
        ulong A, ulong B, ulong C, long StrideA, long StrideB, long StrideC, int M, int N, int K, int Lda, int Ldb,
        int Ldc, float Alpha, float Beta, int OutBf16);

    /// <summary>A block per 128 x 128 tile of c.</summary>
    public static LaunchShape Shape(int m, int n, int batch) =>
        new(new Dim3((uint)(n + Tile - 1) / Tile, (uint)(m + Tile - 1) / Tile, (uint)batch), 256);

    /// <summary>
    /// Queues the product. Layouts: nt a (m, k) b (n, k); nn a (m, k) b (k, n); tn a (k, m) b (k, n). What must be a
    /// multiple of 8 is said in the PTX files.
    /// </summary>
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

internal abstract class GemmMmaLab(string stem, string entry, bool transA, bool transB, string summary) : KernelLab
{
    public override string Stem => stem;
    public override string Entry => entry;
    public override string Summary => summary;
    public override Type Args => typeof(GemmMma.Args);
    public override IReadOnlyList<string> ShapeNames => ["m", "n", "k"];
    public override IReadOnlyList<int> DefaultShape => [136, 152, 104];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int m, int n, int k) = (shape[0], shape[1], shape[2]);
        if (n % 8 != 0 || (!transA && k % 8 != 0) || (transA && m % 8 != 0))
        {
            throw new ArgumentException(
                $"[{entry}] n and {(transA ? "m" : "k")} must be multiples of 8, but got m {m}, n {n}, k {k}");
        }
        const float Alpha = 0.5f, Beta = -1.5f;
        float[] a = inputs.Values(m * k), b = inputs.Values(k * n), c = inputs.Values(m * n);
        using DeviceBuffer<ushort> da = inputs.DeviceBf16(a), db = inputs.DeviceBf16(b);
        using DeviceBuffer<float> dc = inputs.Device(c);
        (int lda, int ldb) = (transA ? m : k, transB ? k : n);
        GemmMma.Launch(
            context.Stream, transA, transB, 1,
            new(
                da.Pointer.Address, db.Pointer.Address, dc.Pointer.Address, 0, 0, 0, m, n, k, lda, ldb, n, Alpha, Beta,
                OutBf16: 0));
        var expected = new double[m * n];
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                double sum = 0;
                for (int l = 0; l < k; l++)
                    sum += (double)a[transA ? l * lda + i : i * lda + l] * b[transB ? j * ldb + l : l * ldb + j];
                expected[i * n + j] = Alpha * sum + Beta * (double)c[i * n + j];
            }
        }
        // bf16 products are exact in f32; the tensor core truncates each partial sum, about k * 2^-23 in all.
        double tolerance = 1e-6 + k * 2.4e-7;
        long bytes = 2L * (a.Length + b.Length) + 8L * c.Length;
        return new LabRun(
            GemmMma.Shape(m, n, 1), Distance(dc.ToArray(), expected), tolerance, bytes, 2.0 * m * n * k);
    }
}

internal sealed class GemmMmaNtLab()
    : GemmMmaLab("GemmMma", "gemm_mma_nt", false, true, "c = a b^T, bf16 tensor cores (mma.sync), cp.async ring");

internal sealed class GemmMmaNnLab()
    : GemmMmaLab("GemmMmaNn", "gemm_mma_nn", false, false, "c = a b, b transposed by ldmatrix on the way");

internal sealed class GemmMmaTnLab()
    : GemmMmaLab("GemmMmaTn", "gemm_mma_tn", true, false, "c = a^T b, both transposed by ldmatrix on the way");
