using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class GeluTests
{
    [Fact]
    public void Output_MatchesDoublePrecision()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 5);
        var p = x.ToArray();
        OpCheck.Values(
            x.Gelu(tanh: true), Shape.Of(3, 5),
            i => 0.5 * p[i] * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (p[i] + (0.044715 * Math.Pow(p[i], 3))))));
        OpCheck.Values(
            x.Gelu(), Shape.Of(3, 5), i => 0.5 * p[i] * (1 + Kernels.VectorMathTests.Erf(p[i] / Math.Sqrt(2))));
    }

    [Fact]
    public void PyTorchGoldens()
    {
        OpGolden.Check("gelu_exact", ["x"], t => t[0].Gelu());
        OpGolden.Check("gelu_tanh", ["x"], t => t[0].Gelu(tanh: true));
    }

    [Fact]
    public void TanhGradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 5);
        GradientCheck.Run(() => x.Gelu(tanh: true), x);
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 5);
        GradientCheck.Run(() => x.Gelu(), x);
        OpCheck.SecondUseAccumulates(() => x.Gelu(), x);
    }

    [Fact]
    public void FrozenInput_GetsNoWork()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 5);
        OpCheck.FrozenInputsGetNoWork(() => x.Gelu(), x);
    }

    [Fact]
    public void WrongDType_IsNamed() => OpCheck.Refused(
        "[gelu] dtype must be F32, but got I32 (x (2, 3))",
        () => Tensor.Zeros(Shape.Of(2, 3), DType.I32).Gelu());
}
