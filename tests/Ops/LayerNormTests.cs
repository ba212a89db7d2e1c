using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class LayerNormTests
{
    [Theory, OnDevices]
    public void PyTorchGolden(string device)
    {
        using var scope = OpCheck.On(device);
        OpGolden.Check("layer_norm", ["x", "w", "b"], t => t[0].LayerNorm(t[1], t[2], 1e-5f));
    }

    [Theory, OnDevices]
    public void Output_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Leaf(1, 2, 3, 7), w = OpCheck.Leaf(2, 7);
        float[] p = x.ToArray(), q = w.ToArray();
        double Mean(int row) => p.Skip(row * 7).Take(7).Average(v => (double)v);
        double Variance(int row) => p.Skip(row * 7).Take(7).Average(v => Math.Pow(v - Mean(row), 2));
        OpCheck.Values(
            x.LayerNorm(w, null, 1e-3f), Shape.Of(2, 3, 7),
            i => (p[i] - Mean(i / 7)) / Math.Sqrt(Variance(i / 7) + 1e-3f) * q[i % 7]);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Leaf(1, 3, 7), w = OpCheck.Leaf(2, 7), b = OpCheck.Leaf(3, 7);
        GradientCheck.Run(() => x.LayerNorm(w, b, 1e-5f), x, w, b);
        OpCheck.SecondUseAccumulates(() => x.LayerNorm(w, b, 1e-5f), x, w, b);
    }

    [Theory, OnDevices]
    public void FrozenInputs_GetNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Leaf(1, 3, 7), w = OpCheck.Leaf(2, 7), b = OpCheck.Leaf(3, 7);
        OpCheck.FrozenInputsGetNoWork(() => x.LayerNorm(w, b, 1e-5f), x, w, b);
    }

    [Fact]
    public void WrongShapes_AreNamed()
    {
        OpCheck.Refused(
            "[layer_norm] weight must have the last dimension of x, but got x (2, 3), weight (4)",
            () => Tensor.Zeros(Shape.Of(2, 3)).LayerNorm(Tensor.Zeros(Shape.Of(4)), null, 1e-5f));
        OpCheck.Refused(
            "[layer_norm] bias must have the weight's shape, but got bias (4), weight (3)",
            () => Tensor.Zeros(Shape.Of(2, 3)).LayerNorm(
                Tensor.Zeros(Shape.Of(3)), Tensor.Zeros(Shape.Of(4)), 1e-5f));
    }

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Bf16Check.Run(
            t => t[0].LayerNorm(t[1], t[2], 1e-5f),
            t => OpRows.Map(t[0], 7, row =>
            {
                var mean = row.Average();
                var rstd = 1 / Math.Sqrt(row.Average(v => (v - mean) * (v - mean)) + 1e-5f);
                return [.. row.Select((v, i) => ((v - mean) * rstd * t[1][i]) + t[2][i])];
            }),
            [OpCheck.Bf16Leaf(1, 3, 7), OpCheck.Leaf(2, 7), OpCheck.Leaf(3, 7)]);
    }
}
