using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

internal sealed class CastLab : KernelLab
{
    public override string Stem => "Cast";
    public override string Entry => "cast_any";
    public override string Summary => "y = x in another element type; here f32 to bf16";
    public override Type Args => typeof(Cast.Args);
    public override IReadOnlyList<string> ShapeNames => ["n"];
    public override IReadOnlyList<int> DefaultShape => [1003];
    public override IReadOnlyList<int> BenchShape => [1 << 24];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        int n = shape[0];
        float[] x = inputs.Values(n);
        using LabTensor from = new(inputs, x, bf16: false), to = new(inputs, n, bf16: true);
        Cast.Run(context.Stream, from.Address, CastType.F32, to.Address, CastType.BF16, n);
        // The nearest of 8 bits, by the definition: a value is a multiple of 2^(exponent - 7).
        double[] expected = [.. x.Select(Nearest)];
        return new LabRun(Pointwise.Of(n, 4, 0).Shape, Distance(to.ToArray(), expected), 0, 6L * n, 0);
    }

    private static double Nearest(float value)
    {
        if (value == 0) return 0;
        double unit = Math.ScaleB(1, Math.ILogB(value) - 7);
        return Math.Round(value / unit) * unit;
    }
}
