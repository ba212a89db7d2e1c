using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class ScaleTests
{
    [Fact]
    public void Output_MatchesDoublePrecision()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 5);
        var p = x.ToArray();
        OpCheck.Values(x.Scale(-0.3f), Shape.Of(3, 5), i => p[i] * (double)-0.3f);
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 5);
        GradientCheck.Run(() => x.Scale(-0.3f), x);
        OpCheck.SecondUseAccumulates(() => x.Scale(-0.3f), x);
    }

    [Fact]
    public void FrozenInput_GetsNoWork()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 5);
        OpCheck.FrozenInputsGetNoWork(() => x.Scale(2), x);
    }

    [Fact]
    public void WrongDType_IsNamed() => OpCheck.Refused(
        "[scale] dtype must be F32, but got I32 (x (2, 3))",
        () => Tensor.Zeros(Shape.Of(2, 3), DType.I32).Scale(2));
}
