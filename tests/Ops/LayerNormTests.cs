using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class LayerNormTests
{
    [Fact]
    public void PyTorchGolden() =>
        OpGolden.Check("layer_norm", ["x", "w", "b"], t => t[0].LayerNorm(t[1], t[2], 1e-5f));

    [Fact]
    public void Output_MatchesDoublePrecision()
    {
        using var scope = TensorScope.Begin();
        Tensor x = OpCheck.Leaf(1, 2, 3, 7), w = OpCheck.Leaf(2, 7);
        float[] p = x.ToArray(), q = w.ToArray();
        double Mean(int row) => p.Skip(row * 7).Take(7).Average(v => (double)v);
        double Variance(int row) => p.Skip(row * 7).Take(7).Average(v => Math.Pow(v - Mean(row), 2));
        OpCheck.Values(
            x.LayerNorm(w, null, 1e-3f), Shape.Of(2, 3, 7),
            i => (p[i] - Mean(i / 7)) / Math.Sqrt(Variance(i / 7) + 1e-3f) * q[i % 7]);
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        Tensor x = OpCheck.Leaf(1, 3, 7), w = OpCheck.Leaf(2, 7), b = OpCheck.Leaf(3, 7);
        GradientCheck.Run(() => x.LayerNorm(w, b, 1e-5f), x, w, b);
        OpCheck.SecondUseAccumulates(() => x.LayerNorm(w, b, 1e-5f), x, w, b);
    }

    [Fact]
    public void FrozenInputs_GetNoWork()
    {
        using var scope = TensorScope.Begin();
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
}
