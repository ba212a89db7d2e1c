using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class SiluTests
{
    [Fact]
    public void Output_MatchesDoublePrecision()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 5);
        var p = x.ToArray();
        OpCheck.Values(x.Silu(), Shape.Of(3, 5), i => p[i] / (1 + Math.Exp(-p[i])));
    }

    [Fact]
    public void PyTorchGolden() => OpGolden.Check("silu", ["x"], t => t[0].Silu());

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 5);
        GradientCheck.Run(() => x.Silu(), x);
        OpCheck.SecondUseAccumulates(() => x.Silu(), x);
    }

    [Fact]
    public void FrozenInput_GetsNoWork()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 5);
        OpCheck.FrozenInputsGetNoWork(() => x.Silu(), x);
    }

    [Fact]
    public void WrongDType_IsNamed() => OpCheck.Refused(
        "[silu] dtype must be F32, but got I32 (x (2, 3))",
        () => Tensor.Zeros(Shape.Of(2, 3), DType.I32).Silu());
}
