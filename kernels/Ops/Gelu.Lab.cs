using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

internal abstract class GeluLab(bool backward, bool bf16) : PointwiseLab("gelu", "Gelu", backward, bf16)
{
    // The distribution from its series, to the last bit of a double.
    private static double Phi(double x)
    {
        double a = Math.Abs(x), term = a, sum = a;
        if (a > 8) return x > 0 ? 1 : 0;
        for (int k = 1; term > 1e-17 * sum; k++)
        {
            term *= a * a / (2 * k + 1);
            sum += term;
        }
        return 0.5 + Math.Sign(x) * Math.Exp(-a * a / 2) / Math.Sqrt(2 * Math.PI) * sum;
    }

    protected override double Value(double x) => x * Phi(x);

    protected override double Slope(double x) => Phi(x) + x * Math.Exp(-x * x / 2) / Math.Sqrt(2 * Math.PI);

    internal abstract class ForwardLab(bool bf16) : GeluLab(backward: false, bf16)
    {
        public override string Summary => "y = x Phi(x)";
        public override Type Args => typeof(Gelu.ForwardArgs);
        protected override double FlopsPerElement => 20;

        protected override void Launch(CudaContext context, ulong x, ulong dy, ulong to, int n) =>
            Gelu.Forward(context.Stream, x, to, n, tanh: false, Bf16);
    }

    internal abstract class BackwardLab(bool bf16) : GeluLab(backward: true, bf16)
    {
        public override string Summary => "dx += dy (Phi(x) + x phi(x))";
        public override Type Args => typeof(Gelu.BackwardArgs);
        protected override double FlopsPerElement => 24;

        protected override void Launch(CudaContext context, ulong x, ulong dy, ulong to, int n) =>
            Gelu.Backward(context.Stream, x, dy, to, n, accumulate: true, tanh: false, Bf16);
    }

    internal sealed class ForwardF32() : ForwardLab(bf16: false);
    internal sealed class ForwardBf16() : ForwardLab(bf16: true);
    internal sealed class BackwardF32() : BackwardLab(bf16: false);
    internal sealed class BackwardBf16() : BackwardLab(bf16: true);
}
