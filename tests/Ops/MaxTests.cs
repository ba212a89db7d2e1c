using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class MaxTests
{
    [Fact]
    public void Output_AndIndex()
    {
        using var scope = TensorScope.Begin();
        var x = Tensor.From([1f, 5f, 5f, -2f, -3f, -1f], Shape.Of(2, 3));
        OpCheck.Values(x.Max(^1), Shape.Of(2), i => i == 0 ? 5 : -1, 0);
        OpCheck.Values(x.Max(0), Shape.Of(3), i => i == 0 ? 1 : 5, 0);
        Assert.Equal([1, 2], x.ArgMax(1).Span<int>().ToArray());
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        // Values far apart, so that a step never changes which is largest.
        float[] spread = [.. Enumerable.Range(0, 30).Select(i => i * 7 % 30 * 0.5f)];
        var x = Tensor.From(spread, Shape.Of(2, 3, 5));
        x.RequiresGrad = true;
        GradientCheck.Run(() => x.Max(1), x);
        GradientCheck.Run(() => x.Max(^1), x);
        OpCheck.SecondUseAccumulates(() => x.Max(0), x);
    }

    [Fact]
    public void FrozenInput_GetsNoWork()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 2, 3);
        OpCheck.FrozenInputsGetNoWork(() => x.Max(0), x);
    }

    [Fact]
    public void WrongAxis_IsNamed() => OpCheck.Refused(
        "[max] axis must be within the rank, but got 2 (x (2, 3))", () => Tensor.Zeros(Shape.Of(2, 3)).Max(2));
}
