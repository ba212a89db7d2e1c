using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class RmsNormTests
{
    [Fact]
    public void PyTorchGolden() => OpGolden.Check("rms_norm", ["x", "w"], t => t[0].RmsNorm(t[1], 1e-6f));

    [Fact]
    public void Output_MatchesDoublePrecision()
    {
        using var scope = TensorScope.Begin();
        Tensor x = OpCheck.Leaf(1, 2, 3, 7), w = OpCheck.Leaf(2, 7);
        float[] p = x.ToArray(), q = w.ToArray();
        double Mean(int row) => p.Skip(row * 7).Take(7).Average(v => (double)v * v);
        OpCheck.Values(
            x.RmsNorm(w, 1e-3f), Shape.Of(2, 3, 7), i => p[i] / Math.Sqrt(Mean(i / 7) + 1e-3f) * q[i % 7]);
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        Tensor x = OpCheck.Leaf(1, 3, 7), w = OpCheck.Leaf(2, 7);
        GradientCheck.Run(() => x.RmsNorm(w, 1e-5f), x, w);
        OpCheck.SecondUseAccumulates(() => x.RmsNorm(w, 1e-5f), x, w);
    }

    [Fact]
    public void FrozenInputs_GetNoWork()
    {
        using var scope = TensorScope.Begin();
        Tensor x = OpCheck.Leaf(1, 3, 7), w = OpCheck.Leaf(2, 7);
        OpCheck.FrozenInputsGetNoWork(() => x.RmsNorm(w, 1e-5f), x, w);
    }

    [Fact]
    public void WrongShapes_AreNamed() => OpCheck.Refused(
        "[rms_norm] weight must have the last dimension of x, but got x (2, 3), weight (4)",
        () => Tensor.Zeros(Shape.Of(2, 3)).RmsNorm(Tensor.Zeros(Shape.Of(4)), 1e-5f));
}
