using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class SliceTests
{
    [Theory, OnDevices]
    public void Output_IsTheRange(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 5, 3);
        var p = x.ToArray();
        OpCheck.Values(x.Slice(1, 2, 2), Shape.Of(2, 2, 3), i => p[(((i / 6 * 5) + 2 + (i / 3 % 2)) * 3) + (i % 3)], 0);
        OpCheck.Values(x.Slice(^1, 1, 1), Shape.Of(2, 5, 1), i => p[(i * 3) + 1], 0);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 5, 3);
        GradientCheck.Run(() => x.Slice(1, 2, 2), x);
        GradientCheck.Run(() => x.Slice(1, 0, 2).Add(x.Slice(1, 1, 2)), x);
        OpCheck.SecondUseAccumulates(() => x.Slice(0, 1, 1), x);
    }

    [Theory, OnDevices]
    public void FrozenInput_GetsNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 3);
        OpCheck.FrozenInputsGetNoWork(() => x.Slice(0, 1, 1), x);
    }

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Bf16Check.Run(
            t => t[0].Slice(1, 2, 2),
            t => [.. Enumerable.Range(0, 12).Select(i => t[0][(((i / 6 * 5) + 2 + (i / 3 % 2)) * 3) + (i % 3)])],
            Shape.Of(2, 5, 3));
        Bf16Check.Run(
            t => t[0].Slice(^1, 8, 8), t => [.. Enumerable.Range(0, 24).Select(i => t[0][(i / 8 * 16) + 8 + (i % 8)])],
            Shape.Of(3, 16));
    }

    [Fact]
    public void WrongRange_IsNamed() => OpCheck.Refused(
        "[slice] range must lie within the axis of 3, but got 2..4 (x (2, 3))",
        () => Tensor.Zeros(Shape.Of(2, 3)).Slice(1, 2, 2));
}
