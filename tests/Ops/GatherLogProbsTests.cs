using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class GatherLogProbsTests
{
    [Fact]
    public void Output_MatchesDoublePrecision()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 4, 6);
        var p = x.ToArray();
        int[] labels = [5, 0, -100, 2];
        double Sum(int row) => p.Skip(row * 6).Take(6).Sum(v => Math.Exp(v));
        OpCheck.Values(
            x.GatherLogProbs(OpCheck.Ids(labels)), Shape.Of(4),
            r => labels[r] < 0 ? 0 : p[(r * 6) + labels[r]] - Math.Log(Sum(r)));
    }

    [Fact]
    public void ComposedTwin_Agrees()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 2, 3, 6);
        int[] labels = [5, 0, 1, 2, 3, 4];
        var all = x.LogSoftmax().ToArray();
        OpCheck.Values(
            x.GatherLogProbs(Tensor.From(labels, Shape.Of(2, 3))), Shape.Of(2, 3), r => all[(r * 6) + labels[r]], 1e-6);
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        Tensor x = OpCheck.Leaf(1, 4, 6), labels = OpCheck.Ids(5, 0, -100, 2);
        GradientCheck.Run(() => x.GatherLogProbs(labels), x);
        OpCheck.SecondUseAccumulates(() => x.GatherLogProbs(labels), x);
    }

    [Fact]
    public void FrozenInput_GetsNoWork()
    {
        using var scope = TensorScope.Begin();
        Tensor x = OpCheck.Leaf(1, 2, 6), labels = OpCheck.Ids(5, 0);
        OpCheck.FrozenInputsGetNoWork(() => x.GatherLogProbs(labels), x);
    }

    [Fact]
    public void WrongLabels_AreNamed()
    {
        OpCheck.Refused(
            "[gather_log_probs] labels must be below 3 or -100, but got 3",
            () => Tensor.Zeros(Shape.Of(2, 3)).GatherLogProbs(OpCheck.Ids(0, 3)));
        OpCheck.Refused(
            "[gather_log_probs] labels must be I32, one per row of logits, but got I32 (1) (logits (2, 3))",
            () => Tensor.Zeros(Shape.Of(2, 3)).GatherLogProbs(OpCheck.Ids(0)));
    }
}
