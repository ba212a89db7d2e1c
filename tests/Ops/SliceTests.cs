using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class SliceTests
{
    [Fact]
    public void Output_IsTheRange()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 2, 5, 3);
        var p = x.ToArray();
        OpCheck.Values(x.Slice(1, 2, 2), Shape.Of(2, 2, 3), i => p[(((i / 6 * 5) + 2 + (i / 3 % 2)) * 3) + (i % 3)], 0);
        OpCheck.Values(x.Slice(^1, 1, 1), Shape.Of(2, 5, 1), i => p[(i * 3) + 1], 0);
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 2, 5, 3);
        GradientCheck.Run(() => x.Slice(1, 2, 2), x);
        GradientCheck.Run(() => x.Slice(1, 0, 2).Add(x.Slice(1, 1, 2)), x);
        OpCheck.SecondUseAccumulates(() => x.Slice(0, 1, 1), x);
    }

    [Fact]
    public void FrozenInput_GetsNoWork()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 2, 3);
        OpCheck.FrozenInputsGetNoWork(() => x.Slice(0, 1, 1), x);
    }

    [Fact]
    public void WrongRange_IsNamed() => OpCheck.Refused(
        "[slice] range must lie within the axis of 3, but got 2..4 (x (2, 3))",
        () => Tensor.Zeros(Shape.Of(2, 3)).Slice(1, 2, 2));
}
