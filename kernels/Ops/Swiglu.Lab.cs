using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>gate and up are the halves of one matrix, as after a fused projection.</summary>
internal abstract class SwigluLab(string pass, bool bf16) : KernelLab
{
    public override string Stem => bf16 ? "SwigluBf16" : "Swiglu";
    public override string Entry => $"swiglu_{pass}_{(bf16 ? "bf16" : "f32")}";
    public override IReadOnlyList<string> ShapeNames => ["rows", "cols"];
    public override IReadOnlyList<int> DefaultShape => [5, 104];
    public override IReadOnlyList<int> BenchShape => [4096, 4096];

    protected bool Bf16 => bf16;

    // f32: an exponential of two units in the last place and a few roundings. bf16: half a unit of 8 bits.
    protected double Tolerance => bf16 ? 1.0 / 250 : 1e-6;

    protected int Size => bf16 ? 2 : 4;

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int rows, int cols) = (shape[0], shape[1]);
        float[] both = [.. inputs.Values(2 * rows * cols).Select(value => 3 * value)];
        using LabTensor device = new(inputs, both, bf16);
        return Pass(context, inputs, both, device.Address, rows, cols);
    }

    protected abstract LabRun Pass(
        CudaContext context, LabInputs inputs, float[] both, ulong device, int rows, int cols);

    protected ulong Up(ulong device, int cols) => device + (ulong)(cols * Size);

    internal abstract class ForwardLab(bool bf16) : SwigluLab("forward", bf16)
    {
        public override string Summary => "y = silu(gate) up";
        public override Type Args => typeof(Swiglu.ForwardArgs);

        protected override LabRun Pass(
            CudaContext context, LabInputs inputs, float[] both, ulong device, int rows, int cols)
        {
            using LabTensor y = new(inputs, rows * cols, Bf16);
            Swiglu.Forward(context.Stream, device, Up(device, cols), 2 * cols, y.Address, cols, rows, cols, Bf16);
            var expected = new double[rows * cols];
            for (int i = 0; i < expected.Length; i++)
            {
                int at = i / cols * 2 * cols + i % cols;
                expected[i] = both[at] / (1 + Math.Exp(-both[at])) * both[at + cols];
            }
            return new LabRun(
                Pointwise.Grid(rows * cols / (16 / Size)), Distance(y.ToArray(), expected), Tolerance,
                3L * Size * expected.Length, 6.0 * expected.Length);
        }
    }

    internal abstract class BackwardLab(bool bf16) : SwigluLab("backward", bf16)
    {
        public override string Summary => "dup = dy silu(gate), dgate += dy up silu'(gate)";
        public override Type Args => typeof(Swiglu.BackwardArgs);

        protected override LabRun Pass(
            CudaContext context, LabInputs inputs, float[] both, ulong device, int rows, int cols)
        {
            int n = rows * cols;
            float[] dy = inputs.Values(n), start = inputs.Values(2 * n);
            using LabTensor gradient = new(inputs, dy, Bf16), to = new(inputs, start, Bf16);
            Swiglu.Backward(
                context.Stream, device, Up(device, cols), 2 * cols, gradient.Address, cols, to.Address,
                accumulateGate: true, Up(to.Address, cols), accumulateUp: false, 2 * cols, rows, cols, Bf16);
            var expected = new double[2 * n];
            for (int i = 0; i < n; i++)
            {
                int at = i / cols * 2 * cols + i % cols;
                double gate = both[at], sigmoid = 1 / (1 + Math.Exp(-gate));
                expected[at] = start[at] + dy[i] * both[at + cols] * sigmoid * (1 + gate * (1 - sigmoid));
                expected[at + cols] = dy[i] * gate * sigmoid;
            }
            return new LabRun(
                Pointwise.Grid(n / (16 / Size)), Distance(to.ToArray(), expected), Tolerance, 6L * Size * n, 12.0 * n);
        }
    }

    internal sealed class ForwardF32() : ForwardLab(bf16: false);
    internal sealed class ForwardBf16() : ForwardLab(bf16: true);
    internal sealed class BackwardF32() : BackwardLab(bf16: false);
    internal sealed class BackwardBf16() : BackwardLab(bf16: true);
}
