using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>Shared by softmax and log-softmax.</summary>
internal abstract class SoftmaxLab(string pass, bool log, bool bf16) : RowLab(bf16)
{
    public override string Stem =>
        (log ? "LogSoftmax" : "Softmax") + (pass == "backward" ? "Backward" : "") + (Bf16 ? "Bf16" : "");
    public override string Entry => Typed($"{(log ? "log_" : "")}softmax_{pass}");

    protected bool Log => log;

    /// <summary>log(sum(e^x)) of each row.</summary>
    internal static double[] LogSums(float[] x, int cols)
    {
        return [.. x.Chunk(cols).Select(Total)];

        static double Total(float[] row)
        {
            double top = row.Max();
            return top + Math.Log(row.Sum(v => Math.Exp(v - top)));
        }
    }

    /// <summary>Values over a range of logits: the greatest comes late and rescales what was summed.</summary>
    internal static float[] Logits(LabInputs inputs, int count, int cols) =>
        [.. inputs.Values(count).Select((v, i) => 6 * v + 3f * (i % cols) / cols)];

    internal abstract class ForwardLab(bool log, bool bf16) : SoftmaxLab("forward", log, bf16)
    {
        public override string Summary => Log ? "y = x - log(sum(e^x)) per row" : "y = e^x / sum(e^x) per row";
        public override Type Args => typeof(Softmax.ForwardArgs);

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int cols, int count) = (shape[0], shape[1], shape[0] * shape[1]);
            float[] x = Logits(inputs, count, cols);
            // Masked elements, as attention scores have.
            for (int i = 0; i < count; i += 5) x[i] = i % cols == 0 ? x[i] : float.NegativeInfinity;
            using LabTensor dx = Tensor(inputs, x), y = Tensor(inputs, count);
            var args = new Softmax.ForwardArgs(dx.Address, y.Address, rows, cols);
            if (Log) LogSoftmax.Forward(context.Stream, args, Bf16);
            else Softmax.Forward(context.Stream, args, Bf16);
            double[] total = LogSums(x, cols);
            float[] actual = y.ToArray();
            double[] expected = [.. x.Select((v, i) => Log ? v - total[i / cols] : Math.Exp(v - total[i / cols]))];
            // The logarithm of nothing is exactly minus infinity, which has no distance.
            for (int i = 0; i < count; i++)
            {
                if (double.IsNegativeInfinity(expected[i]) && float.IsNegativeInfinity(actual[i]))
                    (expected[i], actual[i]) = (0, 0);
            }
            return new LabRun(
                RowTeam.Shape(rows, cols, Bf16, 1), Distance(actual, expected), Tolerance, 2 * Size * count,
                4.0 * count);
        }
    }

    internal abstract class BackwardLab(bool log, bool bf16) : SoftmaxLab("backward", log, bf16)
    {
        public override string Summary => Log ? "dx += dy - e^y sum(dy)" : "dx += y (dy - sum(y dy))";
        public override Type Args => typeof(Softmax.BackwardArgs);

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int cols, int count) = (shape[0], shape[1], shape[0] * shape[1]);
            float[] x = Logits(inputs, count, cols), dy = inputs.Values(count), start = inputs.Values(count);
            double[] total = LogSums(x, cols);
            float[] y = [.. x.Select((v, i) => (float)(Log ? v - total[i / cols] : Math.Exp(v - total[i / cols])))];
            using LabTensor yOn = Tensor(inputs, y), dyOn = Tensor(inputs, dy), alone = Tensor(inputs, count),
                to = Tensor(inputs, start);
            var args = new Softmax.BackwardArgs(yOn.Address, dyOn.Address, alone.Address, rows, cols, 0);
            foreach (Softmax.BackwardArgs a in new[] { args, args with { Dx = to.Address, Accumulate = 1 } })
            {
                if (Log) LogSoftmax.Backward(context.Stream, a, Bf16);
                else Softmax.Backward(context.Stream, a, Bf16);
            }
            var expected = new double[count];
            for (int at = 0; at < count; at += cols)
            {
                double sum = 0;
                for (int i = at; i < at + cols; i++) sum += Log ? dy[i] : (double)y[i] * dy[i];
                for (int i = at; i < at + cols; i++)
                    expected[i] = Log ? dy[i] - Math.Exp(y[i]) * sum : y[i] * (dy[i] - sum);
            }
            double error = Distance(alone.ToArray(), expected);
            for (int i = 0; i < count; i++) expected[i] += start[i];
            return new LabRun(
                RowTeam.Shape(rows, cols, Bf16, 2), Math.Max(error, Distance(to.ToArray(), expected)), Tolerance,
                4 * Size * count, 4.0 * count);
        }
    }

    internal sealed class ForwardF32() : ForwardLab(log: false, bf16: false);
    internal sealed class ForwardBf16() : ForwardLab(log: false, bf16: true);
    internal sealed class BackwardF32() : BackwardLab(log: false, bf16: false);
    internal sealed class BackwardBf16() : BackwardLab(log: false, bf16: true);
    internal sealed class LogForwardF32() : ForwardLab(log: true, bf16: false);
    internal sealed class LogForwardBf16() : ForwardLab(log: true, bf16: true);
    internal sealed class LogBackwardF32() : BackwardLab(log: true, bf16: false);
    internal sealed class LogBackwardBf16() : BackwardLab(log: true, bf16: true);
}
