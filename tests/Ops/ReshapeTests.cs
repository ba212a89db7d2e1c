using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class ReshapeTests
{
    [Theory, OnDevices]
    public void Output_SharesMemory(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 6);
        var y = x.Reshape(Shape.Of(3, 4));
        var values = x.ToArray();
        OpCheck.Values(y, Shape.Of(3, 4), i => values[i], 0);
        values[5] = 42;
        x.CopyFrom(values);
        Assert.Equal(42, y.ToArray()[5]);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 6);
        GradientCheck.Run(() => x.Reshape(Shape.Of(3, 4)), x);
        OpCheck.SecondUseAccumulates(() => x.Reshape(Shape.Of(12)), x);
    }

    [Theory, OnDevices]
    public void FrozenInput_GetsNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 3);
        OpCheck.FrozenInputsGetNoWork(() => x.Reshape(Shape.Of(6)), x);
    }

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Bf16Check.Run(t => t[0].Scale(2).Reshape(Shape.Of(4, 3)), t => [.. t[0].Select(v => 2 * v)], Shape.Of(3, 4));
    }

    [Fact]
    public void WrongCount_IsNamed() => OpCheck.Refused(
        "[reshape] element counts must match, but got 6 and 8 (x (2, 3), shape (2, 4))",
        () => Tensor.Zeros(Shape.Of(2, 3)).Reshape(Shape.Of(2, 4)));
}
