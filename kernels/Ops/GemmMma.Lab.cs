using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// The three layouts, each with a second product of 20 terms, a bias, rows of odd width and an f32 or bf16 c that is
/// added to.
/// </summary>
internal abstract class GemmMmaLab(string stem, string entry, bool transA, bool transB, string summary) : KernelLab
{
    private const int Second = 20;
    private const float Alpha = 0.5f, Beta = -1.5f;

    public override string Stem => stem;
    public override string Entry => entry;
    public override string Summary => summary;
    public override Type Args => typeof(GemmMma.Args);
    public override IReadOnlyList<string> ShapeNames => ["m", "n", "k"];
    public override IReadOnlyList<int> DefaultShape => [131, 151, 103];
    public override IReadOnlyList<int> BenchShape => [8192, 4096, 4096];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int m, int n, int k) = (shape[0], shape[1], shape[2]);
        var (a, b) = (Matrix.Random(inputs, transA, m, k), Matrix.Random(inputs, !transB, n, k));
        var (a2, b2) = (Matrix.Random(inputs, transA, m, Second), Matrix.Random(inputs, !transB, n, Second));
        float[] c = inputs.Values(m * n), bias = inputs.Values(n);
        using DeviceBuffer<ushort> da = inputs.DeviceBf16(a.Values), db = inputs.DeviceBf16(b.Values);
        using DeviceBuffer<ushort> da2 = inputs.DeviceBf16(a2.Values), db2 = inputs.DeviceBf16(b2.Values);
        using DeviceBuffer<float> dbias = inputs.Device(bias);
        // The f32 result is compared to the last digits; the bf16 result shares all but the store.
        bool bf16 = transA;
        using var dc = new LabTensor(inputs, c, bf16);
        GemmMma.Launch(
            context.Stream, transA, transB, 1,
            new(
                da.Pointer.Address, db.Pointer.Address, dc.Address, 0, 0, 0, da2.Pointer.Address, db2.Pointer.Address,
                dbias.Pointer.Address, m, n, k, a.Pitch, b.Pitch, n, Second, a2.Pitch, b2.Pitch, Alpha, Beta,
                bf16 ? 1 : 0));
        int[] rows = LabRows.Of(m, (double)n * k);
        var expected = new double[rows.Length * n];
        for (int e = 0; e < expected.Length; e++)
        {
            (int i, int j) = (rows[e / n], e % n);
            double sum = 0;
            for (int l = 0; l < k; l++) sum += a[i, l] * b[j, l];
            for (int l = 0; l < Second; l++) sum += a2[i, l] * b2[j, l];
            expected[e] = Alpha * sum + Beta * (double)c[i * n + j] + bias[j];
        }
        // bf16 products are exact in f32; the tensor core truncates each partial sum, about k * 2^-23 in all.
        double tolerance = bf16 ? 1.0 / 256 : 1e-6 + k * 2.4e-7;
        int terms = k + Second;
        long bytes = 2L * terms * (m + n) + 4L * n + (bf16 ? 4L : 8L) * c.Length;
        return new LabRun(
            GemmMma.Shape(m, n, 1), Distance(LabRows.Pick(dc.ToArray(), n, rows), expected), tolerance, bytes, 2.0 * m * n * terms);
    }

    // Element (row, k), stored (k, row) when k is outer; rows padded to units of 16 bytes.
    private sealed record Matrix(float[] Values, int Pitch, bool KOuter)
    {
        public double this[int row, int k] => Values[KOuter ? k * Pitch + row : row * Pitch + k];

        public static Matrix Random(LabInputs inputs, bool kOuter, int rows, int k)
        {
            int pitch = ((kOuter ? rows : k) + 7) / 8 * 8;
            return new Matrix(inputs.Values(pitch * (kOuter ? k : rows)), pitch, kOuter);
        }
    }
}

internal sealed class GemmMmaNtLab()
    : GemmMmaLab("GemmMma", "gemm_mma_nt", false, true, "c = a b^T, bf16 tensor cores (mma.sync), cp.async ring");

internal sealed class GemmMmaNnLab()
    : GemmMmaLab("GemmMmaNn", "gemm_mma_nn", false, false, "c = a b, b transposed by ldmatrix on the way");

internal sealed class GemmMmaTnLab()
    : GemmMmaLab("GemmMmaTn", "gemm_mma_tn", true, false, "c = a^T b, both transposed by ldmatrix on the way");
