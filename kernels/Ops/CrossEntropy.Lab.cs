using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>Shared by the kernels that take one label per row.</summary>
internal abstract class LabelLab(bool bf16) : RowLab(bf16)
{
    public override IReadOnlyList<int> BenchShape => [1024, 32_000];

    // Ignored by the usual label, and by one past the vocabulary.
    protected static int[] Labels(int rows, int cols) =>
        [.. Enumerable.Range(0, rows)
            .Select(r => r % 5 == 3 ? -100 : r % 7 == 2 ? cols : (r * 7919 + cols - 1) % cols)];

    protected static bool Counts(int label, int cols) => label >= 0 && label < cols;

    internal abstract class CrossEntropyRows(bool bf16) : LabelLab(bf16)
    {
        private const float Scale = 0.5f, Times = 0.5f;

        public override string Stem => Bf16 ? "CrossEntropyBf16" : "CrossEntropy";
        public override string Entry => Typed("cross_entropy");
        public override string Summary => "loss per row; the logits become scale (softmax - onehot(label))";
        public override Type Args => typeof(CrossEntropy.Args);

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int cols, int count) = (shape[0], shape[1], shape[0] * shape[1]);
            float[] x = SoftmaxLab.Logits(inputs, count, cols);
            int[] labels = Labels(rows, cols);
            using LabTensor logits = Tensor(inputs, x), losses = Single(inputs, rows), only = Single(inputs, rows);
            using DeviceBuffer<float> times = inputs.Device([Times]);
            using DeviceBuffer<int> labelsOn = context.Memory.Upload<int>(labels);
            var args = new CrossEntropy.Args(
                logits.Address, labelsOn.Pointer, only.Single, default, rows, cols, Scale, 0);
            CrossEntropy.Rows(context.Stream, args, Bf16);
            CrossEntropy.Rows(
                context.Stream, args with { Losses = losses.Single, ScaleAt = times.Pointer, Gradient = 1 }, Bf16);
            double[] total = SoftmaxLab.LogSums(x, cols);
            double[] loss = [.. labels.Select((label, r) => !Counts(label, cols) ? 0 : total[r] - x[r * cols + label])];
            var gradient = new double[count];
            for (int i = 0; i < count; i++)
            {
                int r = i / cols;
                if (!Counts(labels[r], cols)) continue;
                gradient[i] = Scale * Times * (Math.Exp(x[i] - total[r]) - (i % cols == labels[r] ? 1 : 0));
            }
            double error = Math.Max(Distance(losses.ToArray(), loss), Distance(only.ToArray(), loss));
            return new LabRun(
                RowTeam.Shape(rows, cols, Bf16, 1), Math.Max(error, Distance(logits.ToArray(), gradient)), Tolerance,
                2 * Size * count + 8L * rows, 5.0 * count);
        }
    }

    internal abstract class ScaleLab(bool bf16) : LabelLab(bf16)
    {
        public override string Stem => "CrossEntropySum";
        public override string Entry => Typed("cross_entropy_scale");
        public override string Summary => "dlogits *= seed, which touches nothing when seed is 1";
        public override string? Note => "every thread reads the seed: one sector a warp";
        public override Type Args => typeof(CrossEntropy.ScaleArgs);

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int cols, int count) = (shape[0], shape[1], shape[0] * shape[1]);
            float[] values = inputs.Values(count);
            using LabTensor to = Tensor(inputs, values);
            using DeviceBuffer<float> seeds = inputs.Device([1f, -1.5f]);
            var args = new CrossEntropy.ScaleArgs(to.Address, seeds.Pointer, rows, cols);
            CrossEntropy.Scale(context.Stream, args, Bf16);
            CrossEntropy.Scale(context.Stream, args with { Seed = seeds.Pointer + 1 }, Bf16);
            double[] expected = [.. values.Select(v => -1.5 * v)];
            return new LabRun(
                RowTeam.Shape(rows, cols, Bf16, 0), Distance(to.ToArray(), expected), Tolerance, 2 * Size * count,
                count);
        }
    }

    internal abstract class GatherForward(bool bf16) : LabelLab(bf16)
    {
        public override string Stem => Bf16 ? "GatherLogProbsBf16" : "GatherLogProbs";
        public override string Entry => Typed("gather_log_probs_forward");
        public override string Summary => "y = logits[label] - lse, lse = log(sum(e^logits))";
        public override Type Args => typeof(GatherLogProbs.ForwardArgs);

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int cols, int count) = (shape[0], shape[1], shape[0] * shape[1]);
            float[] x = SoftmaxLab.Logits(inputs, count, cols);
            int[] labels = Labels(rows, cols);
            using LabTensor logits = Tensor(inputs, x), y = Single(inputs, rows), lse = Single(inputs, rows);
            using DeviceBuffer<int> labelsOn = context.Memory.Upload<int>(labels);
            GatherLogProbs.Forward(
                context.Stream, new(logits.Address, labelsOn.Pointer, y.Single, lse.Single, rows, cols), Bf16);
            double[] total = SoftmaxLab.LogSums(x, cols);
            for (int r = 0; r < rows; r++) total[r] = Counts(labels[r], cols) ? total[r] : 0;
            double[] expected =
                [.. labels.Select((label, r) => Counts(label, cols) ? x[r * cols + label] - total[r] : 0)];
            double error = Math.Max(Distance(y.ToArray(), expected), Distance(lse.ToArray(), total));
            return new LabRun(
                RowTeam.Shape(rows, cols, Bf16, 0), error, 1e-5, Size * count + 12L * rows, 4.0 * count);
        }
    }

    internal abstract class GatherBackward(bool bf16) : LabelLab(bf16)
    {
        public override string Stem => Bf16 ? "GatherLogProbsBackwardBf16" : "GatherLogProbsBackward";
        public override string Entry => Typed("gather_log_probs_backward");
        public override string Summary => "dlogits += dy (onehot(label) - softmax(logits))";
        public override Type Args => typeof(GatherLogProbs.BackwardArgs);

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int cols, int count) = (shape[0], shape[1], shape[0] * shape[1]);
            float[] x = SoftmaxLab.Logits(inputs, count, cols), dy = inputs.Values(rows), start = inputs.Values(count);
            int[] labels = Labels(rows, cols);
            using LabTensor logits = Tensor(inputs, x), alone = Tensor(inputs, count), to = Tensor(inputs, start),
                dyOn = Single(inputs, dy);
            double[] total = SoftmaxLab.LogSums(x, cols);
            using LabTensor lse = Single(inputs, [.. total.Select(v => (float)v)]);
            using DeviceBuffer<int> labelsOn = context.Memory.Upload<int>(labels);
            var args = new GatherLogProbs.BackwardArgs(
                logits.Address, labelsOn.Pointer, lse.Single, dyOn.Single, alone.Address, rows, cols, 0);
            GatherLogProbs.Backward(context.Stream, args, Bf16);
            GatherLogProbs.Backward(context.Stream, args with { Dlogits = to.Address, Accumulate = 1 }, Bf16);
            var expected = new double[count];
            for (int i = 0; i < count; i++)
            {
                int r = i / cols;
                if (!Counts(labels[r], cols)) continue;
                expected[i] = dy[r] * ((i % cols == labels[r] ? 1 : 0) - Math.Exp(x[i] - total[r]));
            }
            double error = Distance(alone.ToArray(), expected);
            for (int i = 0; i < count; i++) expected[i] += start[i];
            return new LabRun(
                RowTeam.Shape(rows, cols, Bf16, 0), Math.Max(error, Distance(to.ToArray(), expected)), Tolerance,
                3 * Size * count + 12L * rows, 4.0 * count);
        }
    }

    internal sealed class RowsF32() : CrossEntropyRows(bf16: false);
    internal sealed class RowsBf16() : CrossEntropyRows(bf16: true);
    internal sealed class ScaleF32() : ScaleLab(bf16: false);
    internal sealed class ScaleBf16() : ScaleLab(bf16: true);
    internal sealed class GatherForwardF32() : GatherForward(bf16: false);
    internal sealed class GatherForwardBf16() : GatherForward(bf16: true);
    internal sealed class GatherBackwardF32() : GatherBackward(bf16: false);
    internal sealed class GatherBackwardBf16() : GatherBackward(bf16: true);
}

internal sealed class CrossEntropySumLab : KernelLab
{
    public override string Stem => "CrossEntropySum";
    public override string Entry => "cross_entropy_sum_f32";
    public override string Summary => "y = scale * sum(losses), one block";
    public override Type Args => typeof(CrossEntropy.SumArgs);
    public override IReadOnlyList<string> ShapeNames => ["rows"];
    public override IReadOnlyList<int> DefaultShape => [2500];
    public override IReadOnlyList<int> BenchShape => [8192];
    public override string? Note => "each of 1024 threads reads the factor: one sector a warp";

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        float[] losses = inputs.Values(shape[0]);
        using DeviceBuffer<float> from = inputs.Device(losses), y = inputs.Empty<float>(1), times = inputs.Device([3f]);
        CrossEntropy.Sum(context.Stream, new(from.Pointer, y.Pointer, times.Pointer, shape[0], 0.25f));
        double[] expected = [0.75 * losses.Sum(v => (double)v)];
        return new LabRun(
            CrossEntropy.SumShape, Distance(y.ToArray(), expected), 1e-5, 4L * (shape[0] + 2), shape[0]);
    }
}
