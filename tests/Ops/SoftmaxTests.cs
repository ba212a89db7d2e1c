using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class SoftmaxTests
{
    [Fact]
    public void Output_MatchesDoublePrecision()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 2, 3, 5);
        var p = x.ToArray();
        double Sum(int row) => p.Skip(row * 5).Take(5).Sum(v => Math.Exp(v));
        OpCheck.Values(x.Softmax(), Shape.Of(2, 3, 5), i => Math.Exp(p[i]) / Sum(i / 5));
    }

    [Fact]
    public void PyTorchGolden() => OpGolden.Check("softmax", ["x"], t => t[0].Softmax());

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 5);
        GradientCheck.Run(() => x.Softmax(), x);
        OpCheck.SecondUseAccumulates(() => x.Softmax(), x);
    }

    [Fact]
    public void FrozenInput_GetsNoWork()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 5);
        OpCheck.FrozenInputsGetNoWork(() => x.Softmax(), x);
    }

    [Fact]
    public void WrongDType_IsNamed() => OpCheck.Refused(
        "[softmax] dtype must be F32, but got I32 (x (2, 3))",
        () => Tensor.Zeros(Shape.Of(2, 3), DType.I32).Softmax());
}
