using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class MaxTests
{
    [Theory, OnDevices]
    public void Output_AndIndex(string device)
    {
        using var scope = OpCheck.On(device);
        var x = Tensor.From([1f, 5f, 5f, -2f, -3f, -1f], Shape.Of(2, 3));
        OpCheck.Values(x.Max(^1), Shape.Of(2), i => i == 0 ? 5 : -1, 0);
        OpCheck.Values(x.Max(0), Shape.Of(3), i => i == 0 ? 1 : 5, 0);
        var at = new int[2];
        x.ArgMax(1).CopyTo<int>(at);
        Assert.Equal([1, 2], at);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        // Values far apart, so that a step never changes which is largest.
        float[] spread = [.. Enumerable.Range(0, 30).Select(i => i * 7 % 30 * 0.5f)];
        var x = Tensor.From(spread, Shape.Of(2, 3, 5));
        x.RequiresGrad = true;
        GradientCheck.Run(() => x.Max(1), x);
        GradientCheck.Run(() => x.Max(^1), x);
        OpCheck.SecondUseAccumulates(() => x.Max(0), x);
    }

    [Theory, OnDevices]
    public void FrozenInput_GetsNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 3);
        OpCheck.FrozenInputsGetNoWork(() => x.Max(0), x);
    }

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        // Multiples of a half are exact, and far apart.
        float[] spread = [.. Enumerable.Range(0, 24).Select(i => (i * 7 % 24 * 0.5f) - 3)];
        foreach (var axis in new Index[] { 0, ^1 })
        {
            var x = OpCheck.Bf16Leaf(1, 3, 8);
            x.CopyFrom(Array.ConvertAll(spread, v => (ushort)(BitConverter.SingleToUInt32Bits(v) >> 16)));
            Bf16Check.Run(
                t => t[0].Max(axis),
                t => axis.IsFromEnd
                    ? [.. t[0].Chunk(8).Select(row => row.Max())]
                    : [.. Enumerable.Range(0, 8).Select(c => Math.Max(t[0][c], Math.Max(t[0][8 + c], t[0][16 + c])))],
                [x]);
        }
    }

    [Fact]
    public void WrongAxis_IsNamed() => OpCheck.Refused(
        "[max] axis must be within the rank, but got 2 (x (2, 3))", () => Tensor.Zeros(Shape.Of(2, 3)).Max(2));
}
