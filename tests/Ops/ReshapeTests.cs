using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class ReshapeTests
{
    [Fact]
    public void Output_SharesMemory()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 2, 6);
        var y = x.Reshape(Shape.Of(3, 4));
        OpCheck.Values(y, Shape.Of(3, 4), i => x.Span<float>()[i], 0);
        x.Span<float>()[5] = 42;
        Assert.Equal(42, y.Span<float>()[5]);
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 2, 6);
        GradientCheck.Run(() => x.Reshape(Shape.Of(3, 4)), x);
        OpCheck.SecondUseAccumulates(() => x.Reshape(Shape.Of(12)), x);
    }

    [Fact]
    public void FrozenInput_GetsNoWork()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 2, 3);
        OpCheck.FrozenInputsGetNoWork(() => x.Reshape(Shape.Of(6)), x);
    }

    [Fact]
    public void WrongCount_IsNamed() => OpCheck.Refused(
        "[reshape] element counts must match, but got 6 and 8 (x (2, 3), shape (2, 4))",
        () => Tensor.Zeros(Shape.Of(2, 3)).Reshape(Shape.Of(2, 4)));
}
