using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>Both entries on a batch of two, a^T b^T of odd pitches; GemmBlasTests tries the other layouts.</summary>
internal abstract class GemmSimtLab(bool bf16) : KernelLab
{
    private const float Alpha = 0.5f, Beta = -1.5f;
    private const int Batch = 2;

    public override IReadOnlyList<string> ShapeNames => ["m", "n", "k"];
    public override IReadOnlyList<int> DefaultShape => [131, 33, 37];
    public override IReadOnlyList<int> BenchShape => [2048, 2048, 2048];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int m, int n, int k) = (shape[0], shape[1], shape[2]);
        float[] a = inputs.Values(Batch * m * k), b = inputs.Values(n * k), c = inputs.Values(Batch * m * n);
        using LabTensor da = new(inputs, a, bf16), db = new(inputs, b, bf16), dc = new(inputs, c, bf16);
        Launch(context.Stream, da.Address, db.Address, dc.Address, m, n, k);
        int[] rows = LabRows.Of(Batch * m, (double)n * k);
        var expected = new double[rows.Length * n];
        for (int e = 0; e < expected.Length; e++)
        {
            (int s, int i) = (rows[e / n] / m, rows[e / n] % m);
            double sum = 0;
            for (int l = 0; l < k; l++) sum += (double)a[s * m * k + l * m + i] * b[e % n * k + l];
            expected[e] = Alpha * sum + Beta * (double)c[rows[e / n] * n + e % n];
        }
        int size = bf16 ? 2 : 4;
        long bytes = size * (a.Length + b.Length + 2L * c.Length);
        // Rounded once to bf16; f32 sums of k terms keep about six digits.
        return new LabRun(
            GemmSimt.Shape(m, n, Batch), Distance(LabRows.Pick(dc.ToArray(), n, rows), expected),
            bf16 ? 1.0 / 256 : 1e-5, bytes, 2.0 * Batch * m * n * k);
    }

    protected abstract void Launch(CudaStream stream, ulong a, ulong b, ulong c, int m, int n, int k);

    internal sealed class F32() : GemmSimtLab(bf16: false)
    {
        public override string Stem => "GemmSimt";
        public override string Entry => "gemm_simt_f32";
        public override string Summary => "c = op(a) op(b), f32 exact, register tiles, two buffers in shared memory";
        public override Type Args => typeof(GemmSimt.Args);

        protected override void Launch(CudaStream stream, ulong a, ulong b, ulong c, int m, int n, int k) =>
            GemmSimt.Launch(
                stream, Batch,
                new GemmSimt.Args(
                    a, b, c, m * k, 0, m * n, m, n, k, m, k, n, 1, 1, GemmSimt.Whole(a, m, m, m * k),
                    GemmSimt.Whole(b, k, k, 0), Alpha, Beta, 0));
    }

    internal sealed class Bf16() : GemmSimtLab(bf16: true)
    {
        public override string Stem => "GemmSimtBf16";
        public override string Entry => "gemm_simt_bf16";
        public override string Summary => "c = op(a) op(b), bf16 of any address and pitch, f32 sums";
        public override Type Args => typeof(GemmSimt.Bf16Args);

        protected override void Launch(CudaStream stream, ulong a, ulong b, ulong c, int m, int n, int k) =>
            GemmSimt.Launch(
                stream, Batch,
                new GemmSimt.Bf16Args(a, b, c, m * k, 0, m * n, m, n, k, m, k, n, 1, 1, Alpha, Beta, 1));
    }
}
