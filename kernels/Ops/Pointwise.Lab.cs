using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>A kernel over n elements of one type: y of x, or dx of x and dy, added to what dx holds.</summary>
internal abstract class PointwiseLab(string name, string stem, bool backward, bool bf16) : KernelLab
{
    public override string Stem => bf16 ? stem + "Bf16" : stem;
    public override string Entry => $"{name}_{(backward ? "backward" : "forward")}_{(bf16 ? "bf16" : "f32")}";
    public override IReadOnlyList<string> ShapeNames => ["n"];
    public override IReadOnlyList<int> DefaultShape => [1003];
    public override IReadOnlyList<int> BenchShape => [1 << 24];

    /// <summary>Operations per element, each function counted as one.</summary>
    protected abstract double FlopsPerElement { get; }

    protected bool Bf16 => bf16;

    protected abstract void Launch(CudaContext context, ulong x, ulong dy, ulong to, int n);

    protected abstract double Value(double x);

    protected abstract double Slope(double x);

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        int n = shape[0];
        // Wide enough to reach both tails.
        float[] x = [.. inputs.Values(n).Select(value => 5 * value)], dy = inputs.Values(n), start = inputs.Values(n);
        using LabTensor from = new(inputs, x, bf16), gradient = new(inputs, dy, bf16);
        using LabTensor to = backward ? new(inputs, start, bf16) : new(inputs, n, bf16);
        Launch(context, from.Address, gradient.Address, to.Address, n);
        var expected = new double[n];
        for (int i = 0; i < n; i++) expected[i] = backward ? start[i] + dy[i] * Slope(x[i]) : Value(x[i]);
        // f32: an exponential of two units in the last place and a few roundings. bf16: half a unit of 8 bits.
        return new LabRun(
            Pointwise.Of(n, Pointwise.PerVector(bf16), 0).Shape, Distance(to.ToArray(), expected),
            bf16 ? 1.0 / 250 : 1e-6, (backward ? 4L : 2L) * n * (bf16 ? 2 : 4), FlopsPerElement * n);
    }
}
