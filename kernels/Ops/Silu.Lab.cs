using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

internal abstract class SiluLab(bool backward, bool bf16) : PointwiseLab("silu", "Silu", backward, bf16)
{
    protected override double Value(double x) => x / (1 + Math.Exp(-x));

    protected override double Slope(double x)
    {
        double sigmoid = 1 / (1 + Math.Exp(-x));
        return sigmoid * (1 + x * (1 - sigmoid));
    }

    internal abstract class ForwardLab(bool bf16) : SiluLab(backward: false, bf16)
    {
        public override string Summary => "y = x / (1 + e^-x)";
        public override Type Args => typeof(Silu.ForwardArgs);
        protected override double FlopsPerElement => 5;

        protected override void Launch(CudaContext context, ulong x, ulong dy, ulong to, int n) =>
            Silu.Forward(context.Stream, x, to, n, Bf16);
    }

    internal abstract class BackwardLab(bool bf16) : SiluLab(backward: true, bf16)
    {
        public override string Summary => "dx += dy silu'(x)";
        public override Type Args => typeof(Silu.BackwardArgs);
        protected override double FlopsPerElement => 9;

        protected override void Launch(CudaContext context, ulong x, ulong dy, ulong to, int n) =>
            Silu.Backward(context.Stream, x, dy, to, n, accumulate: true, Bf16);
    }

    internal sealed class ForwardF32() : ForwardLab(bf16: false);
    internal sealed class ForwardBf16() : ForwardLab(bf16: true);
    internal sealed class BackwardF32() : BackwardLab(bf16: false);
    internal sealed class BackwardBf16() : BackwardLab(bf16: true);
}
