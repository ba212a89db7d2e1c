using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class CrossEntropyTests
{
    // The op consumes its logits, so every call gets a copy of the leaf.
    private static Tensor Loss(Tensor x, Tensor labels, float scale) => x.Scale(1).CrossEntropy(labels, scale);

    [Fact]
    public void PyTorchGolden() => OpGolden.Check(
        "cross_entropy", ["x", "labels"],
        t => Loss(t[0], t[1], 1f / t[1].Span<int>().ToArray().Count(l => l != TensorOps.IgnoredLabel)));

    [Fact]
    public void Output_MatchesDoublePrecision()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 4, 6);
        var p = x.ToArray();
        int[] labels = [5, 0, -100, 2];
        double Of(int r) => labels[r] < 0 ? 0
            : Math.Log(p.Skip(r * 6).Take(6).Sum(v => Math.Exp(v))) - p[(r * 6) + labels[r]];
        var expected = Enumerable.Range(0, 4).Sum(Of) / 3;
        OpCheck.Values(Loss(x, OpCheck.Ids(labels), 1f / 3), Shape.Scalar, _ => expected);
        Assert.Equal(p, x.ToArray());
    }

    [Fact]
    public void ComposedTwin_Agrees()
    {
        using var scope = TensorScope.Begin();
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

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        Tensor x = OpCheck.Leaf(1, 4, 6), labels = OpCheck.Ids(5, 0, -100, 2);
        GradientCheck.Run(() => Loss(x, labels, 0.7f), x);
        OpCheck.SecondUseAccumulates(() => Loss(x, labels, 0.7f), x);
    }

    [Fact]
    public void FrozenLogits_StayAsTheyAre()
    {
        using var scope = TensorScope.Begin();
        Tensor x = OpCheck.Leaf(1, 2, 6), labels = OpCheck.Ids(5, 0);
        OpCheck.FrozenInputsGetNoWork(() => Loss(x, labels, 1), x);
        var before = x.ToArray();
        x.CrossEntropy(labels, 1);
        Assert.Equal(before, x.ToArray());
    }

    [Fact]
    public void AllIgnored_IsZero()
    {
        using var scope = TensorScope.Begin();
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
}
