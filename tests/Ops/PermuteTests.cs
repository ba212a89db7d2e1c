using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class PermuteTests
{
    [Theory, OnDevices]
    public void Output_IsTheReorderedInput(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 3, 5);
        var p = x.ToArray();
        OpCheck.Values(
            x.Permute(2, 0, 1), Shape.Of(5, 2, 3), i => p[(((i / 3 % 2 * 3) + (i % 3)) * 5) + (i / 6)], 0);
        OpCheck.Values(x.Transpose(1, 2), Shape.Of(2, 5, 3), i => p[(((i / 15 * 3) + (i % 3)) * 5) + (i / 3 % 5)], 0);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 3, 5);
        GradientCheck.Run(() => x.Permute(2, 0, 1), x);
        GradientCheck.Run(() => x.Transpose(^1, ^2), x);
        OpCheck.SecondUseAccumulates(() => x.Permute(2, 0, 1), x);
    }

    [Theory, OnDevices]
    public void FrozenInput_GetsNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 3);
        OpCheck.FrozenInputsGetNoWork(() => x.Permute(1, 0), x);
    }

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Bf16Check.Run(
            t => t[0].Permute(2, 0, 1),
            t => [.. t[0].Select((_, i) => t[0][(((i / 3 % 2 * 3) + (i % 3)) * 5) + (i / 6)])], Shape.Of(2, 3, 5));
        // Heads: the last axis stays.
        Bf16Check.Run(
            t => t[0].Transpose(0, 1), t => [.. t[0].Select((_, i) => t[0][(i / 8 % 2 * 24) + (i / 16 * 8) + (i % 8)])],
            Shape.Of(2, 3, 8));
    }

    [Fact]
    public void WrongAxes_AreNamed()
    {
        OpCheck.Refused(
            "[permute] order must name every axis once, but got (0, 0) (x (2, 3))",
            () => Tensor.Zeros(Shape.Of(2, 3)).Permute(0, 0));
        OpCheck.Refused(
            "[transpose] axes must be within the rank, but got 0, 2 (x (2, 3))",
            () => Tensor.Zeros(Shape.Of(2, 3)).Transpose(0, 2));
    }
}
