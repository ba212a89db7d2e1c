using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class GatherLogProbsTests
{
    [Theory, OnDevices]
    public void Output_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 4, 6);
        var p = x.ToArray();
        int[] labels = [5, 0, -100, 2];
        double Sum(int row) => p.Skip(row * 6).Take(6).Sum(v => Math.Exp(v));
        OpCheck.Values(
            x.GatherLogProbs(OpCheck.Ids(labels)), Shape.Of(4),
            r => labels[r] < 0 ? 0 : p[(r * 6) + labels[r]] - Math.Log(Sum(r)));
    }

    [Theory, OnDevices]
    public void ComposedTwin_Agrees(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 3, 6);
        int[] labels = [5, 0, 1, 2, 3, 4];
        var all = x.LogSoftmax().ToArray();
        OpCheck.Values(
            x.GatherLogProbs(Tensor.From(labels, Shape.Of(2, 3))), Shape.Of(2, 3), r => all[(r * 6) + labels[r]], 1e-6);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Leaf(1, 4, 6), labels = OpCheck.Ids(5, 0, -100, 2);
        GradientCheck.Run(() => x.GatherLogProbs(labels), x);
        OpCheck.SecondUseAccumulates(() => x.GatherLogProbs(labels), x);
    }

    [Theory, OnDevices]
    public void FrozenInput_GetsNoWork(string device)
    {
        using var scope = OpCheck.On(device);
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

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        int[] labels = [5, -100, 2];
        Bf16Check.Run(
            t => t[0].GatherLogProbs(OpCheck.Ids(labels)),
            t =>
            {
                var next = 0;
                return OpRows.Map(t[0], 7, row => labels[next++] is >= 0 and var label
                    ? [row[label] - Math.Log(row.Sum(Math.Exp))]
                    : [0]);
            },
            Shape.Of(3, 7));
    }
}
