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
        using var table = new RotaryTable(16, 16, frequencies);
        OpGolden.Check(name, ["x"], t => t[0].Rope(table, Positions()));
    }

    [Fact]
    public void PyTorchGoldens()
    {
        Golden("rope_default", new RopeFrequencies(10000f));
        Golden("rope_linear", new RopeFrequencies(10000f, RopeScaling.Linear, 4f));
        Golden("rope_llama3", new RopeFrequencies(10000f, RopeScaling.Llama3, 8f, 1f, 4f, 64));
    }

    [Fact]
    public void Output_MatchesDoublePrecision()
    {
        using var scope = TensorScope.Begin();
        using var table = new RotaryTable(10, 4, new RopeFrequencies(100f));
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

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        using var table = new RotaryTable(16, 6, new RopeFrequencies(100f));
        Tensor x = OpCheck.Leaf(1, 2, 5, 2, 6), positions = Positions();
        GradientCheck.Run(() => x.Rope(table, positions), x);
        OpCheck.SecondUseAccumulates(() => x.Rope(table, positions), x);
    }

    [Fact]
    public void FrozenInput_GetsNoWork()
    {
        using var scope = TensorScope.Begin();
        using var table = new RotaryTable(16, 6, new RopeFrequencies(100f));
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
}
