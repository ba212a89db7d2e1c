using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class SumTests
{
    [Fact]
    public void Output_MatchesDoublePrecision()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 2, 3, 5);
        var p = x.ToArray();
        double At(int b, int r, int c) => p[(((b * 3) + r) * 5) + c];
        OpCheck.Values(x.Sum(), Shape.Scalar, _ => p.Sum(v => (double)v));
        OpCheck.Values(x.Mean(), Shape.Scalar, _ => p.Average(v => (double)v));
        OpCheck.Values(x.Sum(0), Shape.Of(3, 5), i => At(0, i / 5, i % 5) + At(1, i / 5, i % 5));
        OpCheck.Values(
            x.Mean(1), Shape.Of(2, 5), i => Enumerable.Range(0, 3).Average(r => At(i / 5, r, i % 5)));
        OpCheck.Values(
            x.Sum(^1), Shape.Of(2, 3), i => Enumerable.Range(0, 5).Sum(c => At(i / 3, i % 3, c)));
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 2, 3, 5);
        GradientCheck.Run(() => x.Sum(1), x);
        GradientCheck.Run(() => x.Mean(^1), x);
        GradientCheck.Run(() => x.Mean(), x);
        OpCheck.SecondUseAccumulates(() => x.Sum(0), x);
    }

    [Fact]
    public void FrozenInput_GetsNoWork()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 2, 3);
        OpCheck.FrozenInputsGetNoWork(() => x.Sum(0), x);
    }

    [Fact]
    public void WrongAxis_IsNamed()
    {
        OpCheck.Refused(
            "[sum] axis must be within the rank, but got 2 (x (2, 3))", () => Tensor.Zeros(Shape.Of(2, 3)).Sum(2));
        OpCheck.Refused(
            "[mean] axis must be within the rank, but got -1 (x (2, 3))", () => Tensor.Zeros(Shape.Of(2, 3)).Mean(^3));
    }
}
