using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Shared by the four passes in both types: inputs on the device, and the formulas in double precision.
/// </summary>
internal abstract class RmsNormLab(string pass, bool bf16) : KernelLab
{
    private const float Eps = 1e-5f;

    public override string Stem => bf16 ? "RmsNormBf16" : "RmsNorm";
    public override string Entry => $"rms_norm_{pass}_{(bf16 ? "bf16" : "f32")}";
    public override IReadOnlyList<string> ShapeNames => ["rows", "cols"];
    public override IReadOnlyList<int> DefaultShape => [5, 2056];

    protected bool Bf16 => bf16;

    // bf16 results are compared after rounding to 8 bits; sums of thousands of f32 terms keep about six digits.
    protected double Tolerance => bf16 ? 1.0 / 128 : 1e-5;

    protected int Size => bf16 ? 2 : 4;

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int rows, int cols) = (shape[0], shape[1]);
        if (cols % (16 / Size) != 0)
            throw new ArgumentException($"[{Entry}] cols must be a multiple of {16 / Size}, but got {cols}");
        float[] x = inputs.Values(rows * cols), w = inputs.Values(cols), dy = inputs.Values(rows * cols);
        using var dx = new LabTensor(inputs, x, bf16);
        using var dw = new LabTensor(inputs, w, bf16);
        using var ddy = new LabTensor(inputs, dy, bf16);
        var rstd = new float[rows];
        for (int r = 0; r < rows; r++)
        {
            double squares = 0;
            for (int c = 0; c < cols; c++) squares += (double)x[r * cols + c] * x[r * cols + c];
            rstd[r] = (float)(1 / Math.Sqrt(squares / cols + Eps));
        }
        return Pass(context, inputs, new Data(rows, cols, x, w, dy, rstd, dx, dw, ddy));
    }

    protected abstract LabRun Pass(CudaContext context, LabInputs inputs, Data data);

    protected sealed record Data(
        int Rows, int Cols, float[] X, float[] W, float[] Dy, float[] Rstd, LabTensor DeviceX, LabTensor DeviceW,
        LabTensor DeviceDy)
    {
        public int Count => Rows * Cols;
    }

    internal abstract class ForwardLab(bool bf16) : RmsNormLab("forward", bf16)
    {
        public override string Summary => "y = w x rstd, and rstd, per row";
        public override Type Args => typeof(RmsNorm.ForwardArgs);

        protected override LabRun Pass(CudaContext context, LabInputs inputs, Data d)
        {
            using var y = new LabTensor(inputs, d.Count, Bf16);
            using DeviceBuffer<float> rstd = inputs.Empty<float>(d.Rows);
            RmsNorm.Forward(
                context.Stream, d.Rows,
                new(d.DeviceX.Address, d.DeviceW.Address, y.Address, rstd.Pointer, d.Cols, Eps), Bf16);
            var expected = new double[d.Count];
            for (int i = 0; i < d.Count; i++) expected[i] = (double)d.X[i] * d.Rstd[i / d.Cols] * d.W[i % d.Cols];
            double error = Math.Max(
                Distance(y.ToArray(), expected), Distance(rstd.ToArray(), [.. d.Rstd.Select(v => (double)v)]));
            long bytes = Size * (2L * d.Count + d.Cols) + 4L * d.Rows;
            return new LabRun(RmsNorm.RowShape(d.Rows), error, Tolerance, bytes, 4.0 * d.Count);
        }
    }

    internal abstract class BackwardLab(bool bf16) : RmsNormLab("backward", bf16)
    {
        public override string Summary => "dx = rstd g - x rstd^3 mean(g x), g = w dy; adds when asked";
        public override Type Args => typeof(RmsNorm.BackwardArgs);

        protected override LabRun Pass(CudaContext context, LabInputs inputs, Data d)
        {
            // Half of the lab is the accumulating branch: dx starts at random values.
            float[] start = inputs.Values(d.Count);
            using var dx = new LabTensor(inputs, start, Bf16);
            using DeviceBuffer<float> rstd = inputs.Device(d.Rstd);
            RmsNorm.Backward(
                context.Stream, d.Rows,
                new(
                    d.DeviceX.Address, d.DeviceW.Address, d.DeviceDy.Address, rstd.Pointer, dx.Address, d.Cols,
                    Accumulate: 1),
                Bf16);
            var expected = new double[d.Count];
            for (int r = 0; r < d.Rows; r++)
            {
                double s = d.Rstd[r], dot = 0;
                int row = r * d.Cols;
                for (int c = 0; c < d.Cols; c++) dot += (double)d.W[c] * d.Dy[row + c] * d.X[row + c];
                double pull = s * s * s * dot / d.Cols;
                for (int c = 0; c < d.Cols; c++)
                    expected[row + c] = start[row + c] + s * d.W[c] * d.Dy[row + c] - pull * d.X[row + c];
            }
            long bytes = Size * (4L * d.Count + d.Cols) + 4L * d.Rows;
            return new LabRun(
                RmsNorm.RowShape(d.Rows), Distance(dx.ToArray(), expected), Tolerance, bytes, 8.0 * d.Count);
        }
    }

    internal abstract class WeightLab(bool bf16) : RmsNormLab("dweight", bf16)
    {
        private const int RowsPerChunk = 2;

        public override string Summary => "dw = sum over rows of dy x rstd: partial sums per chunk of rows";
        public override Type Args => typeof(RmsNorm.WeightArgs);

        protected override LabRun Pass(CudaContext context, LabInputs inputs, Data d)
        {
            int chunks = (d.Rows + RowsPerChunk - 1) / RowsPerChunk;
            using DeviceBuffer<float> partial = inputs.Empty<float>((long)chunks * d.Cols);
            using DeviceBuffer<float> rstd = inputs.Device(d.Rstd);
            RmsNorm.Weight(
                context.Stream,
                new(
                    d.DeviceX.Address, d.DeviceDy.Address, rstd.Pointer, partial.Pointer, d.Rows, d.Cols, RowsPerChunk),
                Bf16);
            var expected = new double[chunks * d.Cols];
            for (int i = 0; i < d.Count; i++)
            {
                int r = i / d.Cols;
                expected[r / RowsPerChunk * d.Cols + i % d.Cols] += (double)d.Dy[i] * d.X[i] * d.Rstd[r];
            }
            long bytes = Size * 2L * d.Count + 4L * (d.Rows + expected.Length);
            return new LabRun(
                RmsNorm.WeightShape(d.Cols, chunks, Bf16), Distance(partial.ToArray(), expected), 1e-5, bytes,
                3.0 * d.Count);
        }
    }

    internal sealed class ForwardF32() : ForwardLab(bf16: false);
    internal sealed class ForwardBf16() : ForwardLab(bf16: true);
    internal sealed class BackwardF32() : BackwardLab(bf16: false);
    internal sealed class BackwardBf16() : BackwardLab(bf16: true);
    internal sealed class WeightF32() : WeightLab(bf16: false);
    internal sealed class WeightBf16() : WeightLab(bf16: true);
}

internal sealed class RmsNormWeightSumLab : KernelLab
{
    public override string Stem => "RmsNorm";
    public override string Entry => "rms_norm_dweight_sum_f32";
    public override string Summary => "dw += sum of the partial sums, chunk by chunk";
    public override Type Args => typeof(RmsNorm.WeightSumArgs);
    public override IReadOnlyList<string> ShapeNames => ["chunks", "cols"];
    public override IReadOnlyList<int> DefaultShape => [7, 300];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int chunks, int cols) = (shape[0], shape[1]);
        float[] partial = inputs.Values(chunks * cols), start = inputs.Values(cols);
        using DeviceBuffer<float> from = inputs.Device(partial), dw = inputs.Device(start);
        RmsNorm.WeightSum(context.Stream, new(from.Pointer, dw.Pointer, chunks, cols, Accumulate: 1));
        double[] expected = [.. start.Select(value => (double)value)];
        for (int i = 0; i < partial.Length; i++) expected[i % cols] += partial[i];
        return new LabRun(
            RmsNorm.WeightSumShape(cols), Distance(dw.ToArray(), expected), 1e-6, 4L * (partial.Length + 2 * cols),
            partial.Length);
    }
}
