using CudaLora.Engine;
using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Ops;

public class RopeTests
{
    private static readonly int[] At = [11, 12, 13, 14, 15];

    // Positions 11 to 15 of both sequences of (2, 5, 3, 16), as in the goldens.
    private static Tensor Positions() => Tensor.From([.. At, .. At], Shape.Of(2, 5));

    private static void Golden(string name, RopeFrequencies frequencies)
    {
        using var table = new RotaryTable(16, 16, frequencies, Device.Default);
        OpGolden.Check(name, ["x"], t => t[0].Rope(table, Positions()));
    }

    [Theory, OnDevices]
    public void PyTorchGoldens(string device)
    {
        using var scope = OpCheck.On(device);
        Golden("rope_default", new RopeFrequencies(10000f));
        Golden("rope_linear", new RopeFrequencies(10000f, RopeScaling.Linear, 4f));
        Golden("rope_llama3", new RopeFrequencies(10000f, RopeScaling.Llama3, 8f, 1f, 4f, 64));
    }

    [Theory, OnDevices]
    public void Output_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        using var table = new RotaryTable(10, 4, new RopeFrequencies(100f), Device.Default);
        var x = OpCheck.Leaf(1, 1, 2, 1, 4);
        var p = x.ToArray();
        int[] at = [3, 9];
        double Angle(int i) => at[i / 4] * Math.Pow(100, -2.0 * (i % 2) / 4);
        OpCheck.Values(
            x.Rope(table, Tensor.From(at, Shape.Of(1, 2))), Shape.Of(1, 2, 1, 4),
            i => i % 4 < 2
                ? (p[i] * Math.Cos(Angle(i))) - (p[i + 2] * Math.Sin(Angle(i)))
                : (p[i] * Math.Cos(Angle(i))) + (p[i - 2] * Math.Sin(Angle(i))));
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        using var table = new RotaryTable(16, 6, new RopeFrequencies(100f), Device.Default);
        Tensor x = OpCheck.Leaf(1, 2, 5, 2, 6), positions = Positions();
        GradientCheck.Run(() => x.Rope(table, positions), x);
        OpCheck.SecondUseAccumulates(() => x.Rope(table, positions), x);
    }

    [Theory, OnDevices]
    public void FrozenInput_GetsNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        using var table = new RotaryTable(16, 6, new RopeFrequencies(100f), Device.Default);
        Tensor x = OpCheck.Leaf(1, 2, 5, 2, 6), positions = Positions();
        OpCheck.FrozenInputsGetNoWork(() => x.Rope(table, positions), x);
    }

    [Fact]
    public void WrongShapesAndPositions_AreNamed()
    {
        using var table = new RotaryTable(4, 6, new RopeFrequencies(100f));
        OpCheck.Refused(
            "[rope] x must be (B, T, H, 6), but got x (1, 2, 1, 4)",
            () => Tensor.Zeros(Shape.Of(1, 2, 1, 4)).Rope(table, OpCheck.Ids(0, 1)));
        OpCheck.Refused(
            "[rope] positions must be I32, one per token, but got I32 (3) (x (1, 2, 1, 6))",
            () => Tensor.Zeros(Shape.Of(1, 2, 1, 6)).Rope(table, OpCheck.Ids(0, 1, 2)));
        OpCheck.Refused(
            "[rope] positions must be within the context of 4, but got 4",
            () => Tensor.Zeros(Shape.Of(1, 2, 1, 6)).Rope(table, OpCheck.Ids(3, 4)));
    }

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        using var table = new RotaryTable(16, 6, new RopeFrequencies(100f), Device.Default);
        var positions = Positions();
        Bf16Check.Run(
            t => t[0].Rope(table, positions),
            t => [.. Enumerable.Range(0, t[0].Length).Select(i => Turned(t[0], i))],
            Shape.Of(2, 5, 2, 6));

        static double Turned(double[] x, int i)
        {
            var angle = At[i / 12 % 5] * Math.Pow(100, -2.0 * (i % 3) / 6);
            return (x[i] * Math.Cos(angle)) + ((i % 6 < 3 ? -x[i + 3] : x[i - 3]) * Math.Sin(angle));
        }
    }

    [Theory, OnDevices]
    public void InPlace_HasTheBitsOfTwoOps(string device)
    {
        using var scope = OpCheck.On(device);
        using var table = new RotaryTable(16, 6, new RopeFrequencies(100f), Device.Default);
        Tensor q = OpCheck.Leaf(1, 2, 5, 4, 6), k = OpCheck.Leaf(2, 2, 5, 2, 6), positions = Positions();
        Tensor seedQ = OpCheck.Leaf(3, 2, 5, 4, 6), seedK = OpCheck.Leaf(4, 2, 5, 2, 6);
        float[][] Run(Func<Tensor, Tensor, (Tensor Query, Tensor Key)> op)
        {
            var (turnedQ, turnedK) = op(q.Scale(1), k.Scale(1));
            turnedQ.Mul(seedQ.Detach()).Sum().Add(turnedK.Mul(seedK.Detach()).Sum()).Backward();
            float[][] all = [turnedQ.ToArray(), turnedK.ToArray(), q.Grad!.ToArray(), k.Grad!.ToArray()];
            q.ReleaseGrad();
            k.ReleaseGrad();
            return all;
        }

        Assert.Equal(
            Run((a, b) => (a.Rope(table, positions), b.Rope(table, positions))),
            Run((a, b) => a.RopeInPlace(b, table, positions)));
        var before = q.Scale(1);
        var (after, _) = before.RopeInPlace(k.Scale(1), table, positions);
        Assert.Equal(after.ToArray(), before.ToArray());
        Assert.StartsWith(
            "[rope] a trainable tensor must not be overwritten, but got ",
            Assert.Throws<ArgumentException>(() => q.RopeInPlace(k, table, positions)).Message,
            StringComparison.Ordinal);
    }
}
