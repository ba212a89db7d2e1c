using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>Shared by the labs of kernels over rows: inputs on the device, rows in double precision.</summary>
internal abstract class RowLab(bool bf16) : KernelLab
{
    public override IReadOnlyList<string> ShapeNames => ["rows", "cols"];
    public override IReadOnlyList<int> DefaultShape => [5, 2056];
    public override IReadOnlyList<int> BenchShape => [8192, 4096];

    protected bool Bf16 => bf16;

    // A rounding to bf16 moves a value by up to 2^-8 of it. In f32, sums of thousands of terms keep about six digits.
    protected double Tolerance => 1e-5 + (bf16 ? Roundings / 256.0 : 0);

    /// <summary>How often the kernel rounds to bf16 on the way to a result.</summary>
    protected virtual int Roundings => 1;

    protected long Size => bf16 ? 2 : 4;

    protected string Typed(string name) => name + (bf16 ? "_bf16" : "_f32");

    protected LabTensor Tensor(LabInputs inputs, float[] values) => new(inputs, values, bf16);

    protected LabTensor Tensor(LabInputs inputs, long count) => new(inputs, count, bf16);

    protected static LabTensor Single(LabInputs inputs, float[] values) => new(inputs, values, bf16: false);

    protected static LabTensor Single(LabInputs inputs, long count) => new(inputs, count, bf16: false);
}

/// <summary>Shared by the passes of RmsNorm.</summary>
internal abstract class RmsNormLab(string pass, bool bf16) : RowLab(bf16)
{
    protected const float Eps = 1e-5f;

    public override string Stem => Bf16 ? "RmsNormBf16" : "RmsNorm";
    public override string Entry => Typed($"rms_norm_{pass}");
    public override string? Note => "w is read again by every row, from L1";

    // The normalised row, then the product with w.
    protected override int Roundings => 2;

    protected static float[] Rstd(float[] x, int cols) =>
        [.. x.Chunk(cols).Select(row => (float)(1 / Math.Sqrt(row.Sum(v => (double)v * v) / cols + Eps)))];

    protected static double[] Widened(float[] values) => [.. values.Select(v => (double)v)];

    internal abstract class ForwardLab(bool bf16) : RmsNormLab("forward", bf16)
    {
        public override string Summary => "y = w x rstd, and rstd, per row";
        public override Type Args => typeof(RmsNorm.ForwardArgs);

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int cols, int count) = (shape[0], shape[1], shape[0] * shape[1]);
            float[] x = inputs.Values(count), w = inputs.Values(cols);
            using LabTensor dx = Tensor(inputs, x), dw = Single(inputs, w), y = Tensor(inputs, count),
                rstd = Single(inputs, rows);
            RmsNorm.Forward(
                context.Stream, new(dx.Address, dw.Single, y.Address, rstd.Single, rows, cols, Eps), Bf16);
            float[] scale = Rstd(x, cols);
            double[] expected = [.. x.Select((v, i) => (double)v * scale[i / cols] * w[i % cols])];
            double error = Math.Max(
                Distance(y.ToArray(), expected), Distance(rstd.ToArray(), Widened(scale)));
            return new LabRun(
                RowTeam.Shape(rows, cols, Bf16, 1), error, Tolerance, 2 * Size * count + 4L * (rows + cols),
                4.0 * count);
        }
    }

    internal abstract class ResidualLab(bool bf16) : RmsNormLab("residual_forward", bf16)
    {
        public override string Stem => Bf16 ? "RmsNormResidualBf16" : "RmsNormResidual";
        public override string Summary => "h = x + residual, y = w h rstd, and rstd, per row";
        public override Type Args => typeof(RmsNorm.ResidualArgs);

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int cols, int count) = (shape[0], shape[1], shape[0] * shape[1]);
            float[] x = inputs.Values(count), r = inputs.Values(count), w = inputs.Values(cols);
            using LabTensor dx = Tensor(inputs, x), dr = Tensor(inputs, r), dw = Single(inputs, w),
                h = Tensor(inputs, count), y = Tensor(inputs, count), rstd = Single(inputs, rows);
            RmsNorm.Residual(
                context.Stream,
                new(dx.Address, dr.Address, dw.Single, h.Address, y.Address, rstd.Single, rows, cols, Eps), Bf16);
            double[] sum = [.. x.Zip(r, (a, b) => (double)a + b)];
            // y belongs to the h that was written: the rounding of h is no error of y.
            float[] written = h.ToArray(), scale = Rstd(written, cols);
            double[] expected = [.. written.Select((v, i) => (double)v * scale[i / cols] * w[i % cols])];
            double error = Math.Max(
                Distance(written, sum),
                Math.Max(Distance(y.ToArray(), expected), Distance(rstd.ToArray(), Widened(scale))));
            return new LabRun(
                RowTeam.Shape(rows, cols, Bf16, 1), error, Tolerance, 4 * Size * count + 4L * (rows + cols),
                5.0 * count);
        }
    }

    internal abstract class BackwardLab(bool bf16) : RmsNormLab("backward", bf16)
    {
        public override string Stem => Bf16 ? "RmsNormBackwardBf16" : "RmsNorm";
        public override string Summary => "dx = base + rstd g - x rstd^3 mean(g x), g = w dy";
        public override Type Args => typeof(RmsNorm.BackwardArgs);

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int cols, int count) = (shape[0], shape[1], shape[0] * shape[1]);
            float[] x = inputs.Values(count), w = inputs.Values(cols), dy = inputs.Values(count);
            float[] added = inputs.Values(count);
            using LabTensor dx = Tensor(inputs, x), dw = Single(inputs, w), ddy = Tensor(inputs, dy),
                dAdded = Tensor(inputs, added), to = Tensor(inputs, count), alone = Tensor(inputs, count);
            float[] scale = Rstd(x, cols);
            using LabTensor rstd = Single(inputs, scale);
            var args = new RmsNorm.BackwardArgs(
                dx.Address, dw.Single, ddy.Address, rstd.Single, 0, alone.Address, rows, cols);
            RmsNorm.Backward(context.Stream, args, Bf16);
            RmsNorm.Backward(context.Stream, args with { Base = dAdded.Address, Dx = to.Address }, Bf16);
            var expected = new double[count];
            for (int at = 0; at < count; at += cols)
            {
                double s = scale[at / cols], dot = 0;
                for (int c = 0; c < cols; c++) dot += (double)w[c] * dy[at + c] * x[at + c];
                double pull = s * s * s * dot / cols;
                for (int c = 0; c < cols; c++) expected[at + c] = s * w[c] * dy[at + c] - pull * x[at + c];
            }
            double error = Distance(alone.ToArray(), expected);
            for (int i = 0; i < count; i++) expected[i] += added[i];
            // The last launch, which the report counts, is the one that adds.
            return new LabRun(
                RowTeam.Shape(rows, cols, Bf16, 2), Math.Max(error, Distance(to.ToArray(), expected)), Tolerance,
                4 * Size * count + 4L * (rows + cols), 8.0 * count);
        }
    }

    internal abstract class WeightLab(bool bf16) : RmsNormLab("dweight", bf16)
    {
        private const int RowsPerChunk = 7;

        public override string Stem => "RmsNormWeight";
        public override string Summary => "dw = sum over rows of dy x rstd: partial sums per chunk of rows";
        public override Type Args => typeof(RmsNorm.WeightArgs);
        public override string? Note => "a row's rstd is read by every column, from L1";
        public override IReadOnlyList<int> DefaultShape => [16, 300];

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int cols, int count) = (shape[0], shape[1], shape[0] * shape[1]);
            int chunks = (rows + RowsPerChunk - 1) / RowsPerChunk;
            float[] x = inputs.Values(count), dy = inputs.Values(count);
            using LabTensor dx = Tensor(inputs, x), ddy = Tensor(inputs, dy);
            float[] scale = Rstd(x, cols);
            using LabTensor rstd = Single(inputs, scale), partial = Single(inputs, (long)chunks * cols);
            RmsNorm.Weight(
                context.Stream,
                new(dx.Address, ddy.Address, rstd.Single, partial.Single, rows, cols, RowsPerChunk), Bf16);
            var expected = new double[chunks * cols];
            for (int i = 0; i < count; i++)
                expected[i / cols / RowsPerChunk * cols + i % cols] += (double)dy[i] * x[i] * scale[i / cols];
            long bytes = 2 * Size * count + 4L * (rows + expected.Length);
            return new LabRun(
                RmsNorm.WeightShape(cols, chunks), Distance(partial.ToArray(), expected), 1e-5, bytes, 3.0 * count);
        }
    }

    internal sealed class ForwardF32() : ForwardLab(bf16: false);
    internal sealed class ForwardBf16() : ForwardLab(bf16: true);
    internal sealed class ResidualF32() : ResidualLab(bf16: false);
    internal sealed class ResidualBf16() : ResidualLab(bf16: true);
    internal sealed class BackwardF32() : BackwardLab(bf16: false);
    internal sealed class BackwardBf16() : BackwardLab(bf16: true);
    internal sealed class WeightF32() : WeightLab(bf16: false);
    internal sealed class WeightBf16() : WeightLab(bf16: true);
}

internal sealed class RmsNormWeightSumLab() : RowLab(bf16: false)
{
    public override string Stem => "RmsNormWeight";
    public override string Entry => "rms_norm_dweight_sum_f32";
    public override string Summary => "dw += sum of the partial sums, chunk by chunk";
    public override Type Args => typeof(RmsNorm.WeightSumArgs);
    public override IReadOnlyList<string> ShapeNames => ["chunks", "cols"];
    public override IReadOnlyList<int> DefaultShape => [7, 300];
    public override IReadOnlyList<int> BenchShape => [128, 4096];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int chunks, int cols) = (shape[0], shape[1]);
        float[] partial = inputs.Values(chunks * cols), start = inputs.Values(cols);
        using LabTensor from = Single(inputs, partial), dw = Single(inputs, start);
        RmsNorm.WeightSum(context.Stream, new(from.Single, dw.Single, chunks, cols, Accumulate: 1));
        double[] expected = [.. start.Select(value => (double)value)];
        for (int i = 0; i < partial.Length; i++) expected[i % cols] += partial[i];
        return new LabRun(
            RmsNorm.WeightSumShape(cols), Distance(dw.ToArray(), expected), 1e-6, 4L * (partial.Length + 2 * cols),
            partial.Length);
    }
}
