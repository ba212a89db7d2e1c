using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class DropoutTests
{
    private static readonly DropoutMask Mask = new(0.4f, 11, 5);

    [Theory, OnDevices]
    public unsafe void Output_FollowsThePhiloxWords(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 7, 9);
        var p = x.ToArray();
        var words = stackalloc uint[64];
        for (var block = 0; block < 16; block++)
            CudaLora.Kernels.Simd.Philox.Block((ulong)block, 5, 11, words + (4 * block));
        var kept = new ReadOnlySpan<uint>(words, 63).ToArray();
        OpCheck.Values(
            x.Dropout(Mask), Shape.Of(7, 9), i => kept[i] >= 0.4f * 4294967296.0 ? p[i] / (1 - (double)0.4f) : 0);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 7, 9);
        GradientCheck.Run(() => x.Dropout(Mask), x);
        OpCheck.SecondUseAccumulates(() => x.Dropout(Mask), x);
    }

    [Theory, OnDevices]
    public void EveryDraw_IsAnother(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 40, 40);
        Generator one = new(3), two = new(3);
        var first = x.Dropout(DropoutMask.Draw(0.5f, one)).ToArray();
        Assert.NotEqual(first, x.Dropout(DropoutMask.Draw(0.5f, one)).ToArray());
        Assert.Equal(first, x.Dropout(DropoutMask.Draw(0.5f, two)).ToArray());
    }

    [Theory, OnDevices]
    public void FrozenInput_GetsNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 3);
        OpCheck.FrozenInputsGetNoWork(() => x.Dropout(Mask), x);
    }

    [Theory, OnCudaDevices]
    public void Bf16_HasTheSameMask(string device)
    {
        using var scope = OpCheck.On(device);
        var kept = Tensor.From(Enumerable.Repeat(1f, 63).ToArray(), Shape.Of(63)).Dropout(Mask).ToArray();
        Bf16Check.Run(t => t[0].Dropout(Mask), t => [.. t[0].Select((v, i) => v * kept[i])], Shape.Of(7, 9));
    }

    [Fact]
    public void WrongProbability_IsNamed() => OpCheck.Refused(
        "[dropout] probability must be in [0, 1), but got 1",
        () => Tensor.Zeros(Shape.Of(2, 3)).Dropout(new DropoutMask(1, 0, 0)));
}
