using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>Shared by the passes of LayerNorm.</summary>
internal abstract class LayerNormLab(string pass, bool bf16) : RowLab(bf16)
{
    private const float Eps = 1e-5f;

    public override string Stem => Bf16 ? "LayerNormBf16" : "LayerNorm";
    public override string Entry => Typed($"layer_norm_{pass}");
    public override string? Note => "w and b are read again by every row, from L1";

    // Rows far from zero: a variance from the difference of squares would be lost.
    private static float[] Rows(LabInputs inputs, int count) => [.. inputs.Values(count).Select(v => v + 4)];

    private static (double[] Mean, double[] Rstd) Statistics(float[] x, int cols)
    {
        double[] mean = [.. x.Chunk(cols).Select(row => row.Average(v => (double)v))];
        double[] variance = [.. x.Chunk(cols).Select((row, r) => row.Average(v => (v - mean[r]) * (v - mean[r])))];
        return (mean, [.. variance.Select(v => 1 / Math.Sqrt(v + Eps))]);
    }

    private static float[] Narrowed(double[] values) => [.. values.Select(v => (float)v)];

    internal abstract class ForwardLab(bool bf16) : LayerNormLab("forward", bf16)
    {
        public override string Summary => "y = w (x - mean) rstd + b, mean and rstd, per row";
        public override Type Args => typeof(LayerNorm.ForwardArgs);

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int cols, int count) = (shape[0], shape[1], shape[0] * shape[1]);
            float[] x = Rows(inputs, count), w = inputs.Values(cols), b = inputs.Values(cols);
            using LabTensor dx = Tensor(inputs, x), dw = Single(inputs, w), db = Single(inputs, b),
                bare = Tensor(inputs, count), y = Tensor(inputs, count), mean = Single(inputs, rows),
                rstd = Single(inputs, rows);
            var args = new LayerNorm.ForwardArgs(
                dx.Address, dw.Single, default, bare.Address, mean.Single, rstd.Single, rows, cols, Eps);
            LayerNorm.Forward(context.Stream, args, Bf16);
            LayerNorm.Forward(context.Stream, args with { B = db.Single, Y = y.Address }, Bf16);
            (double[] centre, double[] scale) = Statistics(x, cols);
            double[] expected = [.. x.Select((v, i) => (v - centre[i / cols]) * scale[i / cols] * w[i % cols])];
            double error = Math.Max(
                Distance(bare.ToArray(), expected),
                Math.Max(Distance(mean.ToArray(), centre), Distance(rstd.ToArray(), scale)));
            for (int i = 0; i < count; i++) expected[i] += b[i % cols];
            return new LabRun(
                RowTeam.Shape(rows, cols, Bf16, 1), Math.Max(error, Distance(y.ToArray(), expected)), Tolerance,
                2 * Size * count + 8L * (rows + cols), 8.0 * count);
        }
    }

    internal abstract class BackwardLab(bool bf16) : LayerNormLab("backward", bf16)
    {
        public override string Stem => Bf16 ? "LayerNormBackwardBf16" : "LayerNormBackward";
        public override string Summary => "dx += rstd (g - mean(g) - h mean(g h)), g = w dy, h = (x - mean) rstd";
        public override Type Args => typeof(LayerNorm.BackwardArgs);

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int cols, int count) = (shape[0], shape[1], shape[0] * shape[1]);
            float[] x = Rows(inputs, count), w = inputs.Values(cols), dy = inputs.Values(count);
            float[] start = inputs.Values(count);
            using LabTensor dx = Tensor(inputs, x), dw = Single(inputs, w), ddy = Tensor(inputs, dy),
                alone = Tensor(inputs, count), to = Tensor(inputs, start);
            (double[] centre, double[] scale) = Statistics(x, cols);
            using LabTensor mean = Single(inputs, Narrowed(centre)), rstd = Single(inputs, Narrowed(scale));
            var args = new LayerNorm.BackwardArgs(
                dx.Address, dw.Single, ddy.Address, mean.Single, rstd.Single, alone.Address, rows, cols, 0);
            LayerNorm.Backward(context.Stream, args, Bf16);
            LayerNorm.Backward(context.Stream, args with { Dx = to.Address, Accumulate = 1 }, Bf16);
            var expected = new double[count];
            for (int i = 0; i < count; i += cols)
            {
                int r = i / cols;
                (double g, double gh) = (0, 0);
                for (int c = 0; c < cols; c++)
                {
                    g += (double)w[c] * dy[i + c] / cols;
                    gh += (double)w[c] * dy[i + c] * (x[i + c] - centre[r]) * scale[r] / cols;
                }
                for (int c = 0; c < cols; c++)
                    expected[i + c] = scale[r] * (w[c] * dy[i + c] - g - (x[i + c] - centre[r]) * scale[r] * gh);
            }
            double error = Distance(alone.ToArray(), expected);
            for (int i = 0; i < count; i++) expected[i] += start[i];
            return new LabRun(
                RowTeam.Shape(rows, cols, Bf16, 2), Math.Max(error, Distance(to.ToArray(), expected)), Tolerance,
                4 * Size * count + 4L * (2 * rows + cols), 13.0 * count);
        }
    }

    internal abstract class WeightLab(bool bf16) : LayerNormLab("dweight", bf16)
    {
        private const int RowsPerChunk = 7;

        public override string Stem => "LayerNormWeight";
        public override string Summary => "dw = sum over rows of dy (x - mean) rstd, db = sum of dy: partial sums";
        public override Type Args => typeof(LayerNorm.WeightArgs);
        public override string? Note => "a row's mean and rstd are read by every column, from L1";
        public override IReadOnlyList<int> DefaultShape => [16, 300];

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int cols, int count) = (shape[0], shape[1], shape[0] * shape[1]);
            int chunks = (rows + RowsPerChunk - 1) / RowsPerChunk;
            float[] x = Rows(inputs, count), dy = inputs.Values(count);
            using LabTensor dx = Tensor(inputs, x), ddy = Tensor(inputs, dy);
            (double[] centre, double[] scale) = Statistics(x, cols);
            using LabTensor mean = Single(inputs, Narrowed(centre)), rstd = Single(inputs, Narrowed(scale)),
                weight = Single(inputs, (long)chunks * cols), bias = Single(inputs, (long)chunks * cols);
            LayerNorm.Weight(
                context.Stream,
                new(dx.Address, ddy.Address, mean.Single, rstd.Single, weight.Single, bias.Single, rows, cols,
                    RowsPerChunk),
                Bf16);
            double[] dw = new double[chunks * cols], db = new double[chunks * cols];
            for (int i = 0; i < count; i++)
            {
                (int r, int at) = (i / cols, i / cols / RowsPerChunk * cols + i % cols);
                dw[at] += dy[i] * (x[i] - centre[r]) * scale[r];
                db[at] += dy[i];
            }
            double error = Math.Max(Distance(weight.ToArray(), dw), Distance(bias.ToArray(), db));
            long bytes = 2 * Size * count + 8L * (rows + dw.Length);
            return new LabRun(RmsNorm.WeightShape(cols, chunks), error, 1e-5, bytes, 5.0 * count);
        }
    }

    internal sealed class ForwardF32() : ForwardLab(bf16: false);
    internal sealed class ForwardBf16() : ForwardLab(bf16: true);
    internal sealed class BackwardF32() : BackwardLab(bf16: false);
    internal sealed class BackwardBf16() : BackwardLab(bf16: true);
    internal sealed class WeightF32() : WeightLab(bf16: false);
    internal sealed class WeightBf16() : WeightLab(bf16: true);
}
