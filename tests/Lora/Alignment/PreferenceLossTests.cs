using CudaLora.Engine;
using CudaLora.Lora;
using CudaLora.Tests.Ops;

namespace CudaLora.Tests.Lora;

public class PreferenceLossTests
{
    private static readonly float[] PolicyChosen = [-10, -3, -25, -1.5f];
    private static readonly float[] PolicyRejected = [-14, -2, -20, -1.5f];
    private static readonly float[] ReferenceChosen = [-11, -3, -21, -2];
    private static readonly float[] ReferenceRejected = [-13, -2.5f, -22, -1];

    public static TheoryData<string> Goldens => new(
        "sigmoid", "smoothed", "robust", "hinge", "ipo", "reference_free", "simpo", "orpo", "orpo_response", "kto");

    [Theory]
    [MemberData(nameof(Goldens))]
    public void LossAndGradients_EqualPyTorchs(string name)
    {
        using var golden = new AlignmentGolden();
        using var scope = TensorScope.Begin();
        using var inputs = new InputSet(golden.Model.Device);
        var objective = Objective(name);
        var batch = AlignmentGolden.Batch(Rows(golden));
        Assert.Equal(3, objective.Weight(batch));

        var loss = objective.Loss(golden.Model, batch, 1f / 3, inputs);
        loss.Backward();

        Assert.Equal(golden.Values(name + ".losses").Average(), loss.Item(), 2e-5f);
        golden.AssertGradients(name);
        Assert.Same(golden.Adapter, golden.Model.ActiveAdapter);
    }

    [Fact]
    public void PrecomputedReference_GivesTheSameLoss()
    {
        using var golden = new AlignmentGolden();
        using var scope = TensorScope.Begin();
        using var inputs = new InputSet(golden.Model.Device);
        var rows = Rows(golden);
        golden.Adapter.Deactivate();
        ReferenceScores.Precompute(golden.Model, rows, 4, padId: 0, TestContext.Current.CancellationToken);
        AlignmentGolden.AssertNear(
            golden.Values("reference_sums"), [.. rows.Select(r => r.ReferenceLogProb!.Value)], 1e-4, "reference");
        golden.Adapter.Activate();

        var loss = new Dpo().Loss(golden.Model, AlignmentGolden.Batch(rows), 1f / 3, inputs);

        Assert.Equal(golden.Values("sigmoid.losses").Average(), loss.Item(), 2e-5f);
        golden.Adapter.Deactivate();
        Assert.Throws<InvalidOperationException>(
            () => new Dpo().Loss(golden.Model, AlignmentGolden.Batch(Rows(golden)), 1f / 3, inputs));
    }

    [Theory]
    [InlineData("sigmoid")]
    [InlineData("smoothed")]
    [InlineData("robust")]
    [InlineData("hinge")]
    [InlineData("ipo")]
    [InlineData("simpo")]
    [InlineData("orpo")]
    public void EachPairsLossAndGradient_MatchDoublePrecision(string name)
    {
        using var scope = TensorScope.Begin();
        // ORPO and SimPO take means of log-probabilities, which are small.
        var scale = name is "orpo" or "simpo" ? 0.1f : 1;
        var c = Relative(PolicyChosen, ReferenceChosen);
        var r = Relative(PolicyRejected, ReferenceRejected);
        Tensor chosen = Tensor.From(c, Shape.Of(4)), rejected = Tensor.From(r, Shape.Of(4));
        (chosen.RequiresGrad, rejected.RequiresGrad) = (true, true);

        var losses = ((PairObjective)Objective(name)).Losses(chosen, rejected);
        losses.Sum().Backward();

        for (var i = 0; i < 4; i++)
        {
            var expected = Oracle(name, c[i], r[i]);
            Assert.Equal(expected, losses.ToArray()[i], 2e-6 * (1 + Math.Abs(expected)));
            const double step = 1e-6;
            Assert.Equal(
                (Oracle(name, c[i] + step, r[i]) - Oracle(name, c[i] - step, r[i])) / (2 * step),
                chosen.Grad!.ToArray()[i], 2e-5 * (1 + Math.Abs(chosen.Grad!.ToArray()[i])));
            Assert.Equal(
                (Oracle(name, c[i], r[i] + step) - Oracle(name, c[i], r[i] - step)) / (2 * step),
                rejected.Grad!.ToArray()[i], 2e-5 * (1 + Math.Abs(rejected.Grad!.ToArray()[i])));
        }

        float[] Relative(float[] policy, float[] reference) =>
            [.. policy.Zip(reference, (p, q) => scale * (p - (scale < 1 ? 0 : q)))];
    }

    // The vectors of TRL's documentation: log π -10 and -14, log ref -11 and -13, β 0.1, so Δ = 2.
    [Theory]
    [InlineData("sigmoid", 0.598139)]
    [InlineData("hinge", 0.8)]
    [InlineData("ipo", 9.0)]
    [InlineData("smoothed", 0.618139)]
    [InlineData("robust", 0.573139)]
    public void KnownVectors(string name, double expected)
    {
        using var scope = TensorScope.Begin();
        var losses = ((PairObjective)Objective(name)).Losses(
            Tensor.From([1f], Shape.Of(1)), Tensor.From([-1f], Shape.Of(1)));
        Assert.Equal(expected, losses.Sum().Item(), 2e-6);
    }

    [Fact]
    public void OrpoOfHalfAndOne_IsKnown()
    {
        using var scope = TensorScope.Begin();
        var losses = new Orpo(1).Losses(Tensor.From([-.5f], Shape.Of(1)), Tensor.From([-1f], Shape.Of(1)));
        Assert.Equal(0.320300, losses.Sum().Item(), 2e-6);
    }

    [Fact]
    public void LogOdds_HoldFromTinyToNearlyOne()
    {
        using var scope = TensorScope.Begin();
        float[] logs = [-50, -10, -2, -0.7f, -0.1f, -0.01f, -1e-3f];
        var x = Tensor.From(logs, Shape.Of(logs.Length));
        x.RequiresGrad = true;
        var odds = LossMath.LogOdds(x);
        odds.Sum().Backward();
        for (var i = 0; i < logs.Length; i++)
        {
            var p = Math.Exp(logs[i]);
            // Near one, a rounding of log p is a large one of 1 - p.
            var tolerance = 1e-6 * (1 + Math.Abs(logs[i]) + (1 / (1 - p)));
            Assert.Equal(logs[i] - Math.Log(1 - p), odds.ToArray()[i], tolerance);
            Assert.Equal(1 / (1 - p), x.Grad!.ToArray()[i], tolerance / (1 - p));
        }
    }

    [Fact]
    public void Metrics_AreMeansOverPairsAndStepsApartForScoring()
    {
        using var golden = new AlignmentGolden();
        using var inputs = new InputSet(golden.Model.Device);
        var (objective, batch) = (new Dpo(), AlignmentGolden.Batch(Rows(golden)));
        golden.Model.Training = true;
        for (var i = 0; i < 2; i++)
        {
            using var scope = TensorScope.Begin();
            objective.Loss(golden.Model, batch, 1, inputs);
        }
        var (sums, references) = (golden.Values("sums"), golden.Values("reference_sums"));
        var rewards = sums.Zip(references, (a, b) => 0.1 * ((double)a - b)).ToArray();
        var margins = new[] { rewards[0] - rewards[1], rewards[2] - rewards[3], rewards[4] - rewards[5] };
        Assert.Empty(objective.TakeMetrics(training: false));
        var metrics = objective.TakeMetrics(training: true);
        Assert.Equal(margins.Average(), metrics["rewards/margins"], 1e-4);
        Assert.Equal(margins.Count(m => m > 0) / 3.0, metrics["rewards/accuracies"], 1e-6);
        Assert.Equal((rewards[0] + rewards[2] + rewards[4]) / 3, metrics["rewards/chosen"], 1e-4);
        Assert.Equal((sums[1] + sums[3] + sums[5]) / 3.0, metrics["logps/rejected"], 1e-3);
        Assert.Empty(objective.TakeMetrics(training: true));
    }

    [Theory]
    [InlineData(0.0, 0.0, DpoLoss.Sigmoid)]
    [InlineData(0.1, 0.5, DpoLoss.Sigmoid)]
    [InlineData(0.1, 0.1, DpoLoss.Hinge)]
    public void WrongOptions_AreRefused(double beta, double smoothing, DpoLoss loss) =>
        Assert.Throws<UserErrorException>(
            () => new Dpo(new DpoOptions { Beta = beta, LabelSmoothing = smoothing, Loss = loss }));

    private static ResponseExample[] Rows(AlignmentGolden golden) => golden.Rows(
        (i, ids, labels) => new ResponseExample(ids, labels) { Desirable = i != 2 });

    private static IMeasuredObjective Objective(string name) => name switch
    {
        "smoothed" => new Dpo(new DpoOptions { LabelSmoothing = 0.1 }),
        "robust" => new Dpo(new DpoOptions { LabelSmoothing = 0.1, Loss = DpoLoss.Robust }),
        "hinge" => new Dpo(new DpoOptions { Loss = DpoLoss.Hinge }),
        "ipo" => new Dpo(new DpoOptions { Loss = DpoLoss.Ipo }),
        "reference_free" => new Dpo(new DpoOptions { ReferenceFree = true }),
        "simpo" => new SimPo(),
        "orpo" => new Orpo(),
        "orpo_response" => new Orpo(learnsPrompt: false),
        "kto" => new Kto(new KtoOptions { DesirableWeight = 1.2, UndesirableWeight = 0.8 }),
        _ => new Dpo(),
    };

    private static double Oracle(string name, double c, double r)
    {
        var delta = c - r;
        return name switch
        {
            "smoothed" => (0.9 * Cost(0.1 * delta)) + (0.1 * Cost(-0.1 * delta)),
            "robust" => ((0.9 * Cost(0.1 * delta)) - (0.1 * Cost(-0.1 * delta))) / 0.8,
            "hinge" => Math.Max(0, 1 - (0.1 * delta)),
            "ipo" => Math.Pow(delta - 5, 2),
            "simpo" => Cost((2 * delta) - 0.5),
            "orpo" => 0.1 * Cost(c - Math.Log(1 - Math.Exp(c)) - r + Math.Log(1 - Math.Exp(r))),
            _ => Cost(0.1 * delta),
        };

        static double Cost(double x) => Math.Log(1 + Math.Exp(-x));
    }
}
