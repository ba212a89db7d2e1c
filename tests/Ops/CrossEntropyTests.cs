using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class CrossEntropyTests
{
    // The op consumes its logits, so every call gets a copy of the leaf.
    private static Tensor Loss(Tensor x, Tensor labels, float scale) => x.Scale(1).CrossEntropy(labels, scale);

    [Theory, OnDevices]
    public void PyTorchGolden(string device)
    {
        using var scope = OpCheck.On(device);
        OpGolden.Check(
        "cross_entropy", ["x", "labels"],
        t => Loss(t[0], t[1], 1f / t[1].To(Device.Cpu).Span<int>().ToArray().Count(l => l != TensorOps.IgnoredLabel)));
    }

    [Theory, OnDevices]
    public void Output_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 4, 6);
        var p = x.ToArray();
        int[] labels = [5, 0, -100, 2];
        double Of(int r) => labels[r] < 0 ? 0
            : Math.Log(p.Skip(r * 6).Take(6).Sum(v => Math.Exp(v))) - p[(r * 6) + labels[r]];
        var expected = Enumerable.Range(0, 4).Sum(Of) / 3;
        OpCheck.Values(Loss(x, OpCheck.Ids(labels), 1f / 3), Shape.Scalar, _ => expected);
        Assert.Equal(p, x.ToArray());
    }

    [Theory, OnDevices]
    public void ComposedTwin_Agrees(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Leaf(1, 4, 6), labels = OpCheck.Ids(5, 0, -100, 2);
        var fused = Loss(x, labels, 0.5f);
        fused.Backward();
        var gradient = x.Grad!.ToArray();
        x.ReleaseGrad();
        var composed = x.GatherLogProbs(labels).Sum().Scale(-0.5f);
        composed.Backward();
        Assert.Equal(composed.Item(), fused.Item(), 1e-6f);
        OpCheck.Values(x.Grad!, Shape.Of(4, 6), i => gradient[i], 1e-6);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Leaf(1, 4, 6), labels = OpCheck.Ids(5, 0, -100, 2);
        GradientCheck.Run(() => Loss(x, labels, 0.7f), x);
        OpCheck.SecondUseAccumulates(() => Loss(x, labels, 0.7f), x);
    }

    [Theory, OnDevices]
    public void FrozenLogits_StayAsTheyAre(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Leaf(1, 2, 6), labels = OpCheck.Ids(5, 0);
        OpCheck.FrozenInputsGetNoWork(() => Loss(x, labels, 1), x);
        var before = x.ToArray();
        x.CrossEntropy(labels, 1);
        Assert.Equal(before, x.ToArray());
    }

    [Theory, OnDevices]
    public void AllIgnored_IsZero(string device)
    {
        using var scope = OpCheck.On(device);
        Assert.Equal(0, OpCheck.Leaf(1, 2, 6).CrossEntropy(OpCheck.Ids(-100, -100), 1).Item());
    }

    [Fact]
    public void WrongLabels_AreNamed()
    {
        OpCheck.Refused(
            "[cross_entropy] labels must be below 3 or -100, but got -1",
            () => Tensor.Zeros(Shape.Of(2, 3)).CrossEntropy(OpCheck.Ids(0, -1), 1));
        OpCheck.Refused(
            "[cross_entropy] labels must be I32, one per row of logits, but got F32 (2) (logits (2, 3))",
            () => Tensor.Zeros(Shape.Of(2, 3)).CrossEntropy(Tensor.Zeros(Shape.Of(2)), 1));
    }

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        int[] labels = [5, -100, 2];
        Bf16Check.Run(
            t => Loss(t[0], OpCheck.Ids(labels), 0.5f),
            t =>
            {
                var next = 0;
                return
                [
                    OpRows.Map(t[0], 7, row => labels[next++] is >= 0 and var label
                        ? [Math.Log(row.Sum(Math.Exp)) - row[label]]
                        : [0]).Sum() * 0.5,
                ];
            },
            Shape.Of(3, 7));
    }
}
