using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class SumTests
{
    [Theory, OnDevices]
    public void Output_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
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

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 3, 5);
        GradientCheck.Run(() => x.Sum(1), x);
        GradientCheck.Run(() => x.Mean(^1), x);
        GradientCheck.Run(() => x.Mean(), x);
        OpCheck.SecondUseAccumulates(() => x.Sum(0), x);
    }

    [Theory, OnDevices]
    public void FrozenInput_GetsNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 3);
        OpCheck.FrozenInputsGetNoWork(() => x.Sum(0), x);
    }

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Bf16Check.Run(
            t => t[0].Sum(^1), t => [.. Enumerable.Range(0, 6).Select(r => t[0][(8 * r)..((8 * r) + 8)].Sum())],
            Shape.Of(2, 3, 8));
        Bf16Check.Run(
            t => t[0].Mean(0), t => [.. Enumerable.Range(0, 8).Select(c => (t[0][c] + t[0][8 + c] + t[0][16 + c]) / 3)],
            Shape.Of(3, 8));
        Bf16Check.Run(t => t[0].Mean(), t => [t[0].Average()], Shape.Of(3, 8));
        Assert.Equal(DType.F32, OpCheck.Bf16Leaf(1, 3).Sum().DType);
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
