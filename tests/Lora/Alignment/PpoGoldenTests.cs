using System.Text.Json;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>Every intermediate of PPO and GRPO on fixed responses, against PyTorch.</summary>
public class PpoGoldenTests
{
    [Fact]
    public void Ppo_EveryIntermediate_EqualsPyTorchs()
    {
        using var golden = new AlignmentGolden();
        using var head = Head(golden);
        var numbers = golden.Numbers.GetProperty("ppo");
        var options = PpoOptions(numbers);
        var examples = Scored(golden, head, options);
        for (var i = 0; i < examples.Length; i++)
        {
            var example = examples[i];
            Near("logprobs", example.LogProbs, 1e-4);
            Near("reference", example.Reference, 1e-4);
            Assert.Equal(example.Count < 8, example.IsRewardedAfterEnd);
            Near("values", example.Values, 1e-4, states: true);
            Near("k1", Floats(PpoMath.Divergences(example, KlEstimator.K1)), 1e-4);
            // e to the difference, which is up to 2.
            Near("k3", Floats(PpoMath.Divergences(example, KlEstimator.K3)), 1e-3);

            void Near(string key, float[] actual, double tolerance, bool states = false) => AlignmentGolden.AssertNear(
                golden.Row("ppo." + key, i, states), actual, tolerance, $"{key} of row {i}");
        }

        var rewards = Array.ConvertAll(examples, e => PpoMath.Rewards(e, options.KlCoef, options.KlEstimator));
        Rows("rewards", rewards, 1e-5);
        var raw = examples
            .Select((e, i) => PpoMath.Advantages(rewards[i], e.Values, options.Gamma, options.Lambda)).ToArray();
        Rows("raw_advantages", raw, 5e-4);
        PpoTrainer.Estimate(examples, rewards, options);
        Rows("advantages", [.. examples.Select(e => Doubles(e.Advantages))], 5e-4, states: false);
        Rows("returns", [.. examples.Select(e => Doubles(e.Returns))], 5e-4);
        Assert.Equal(Number(numbers, "explained_variance"), PpoMath.ExplainedVariance(examples), 1e-3);
        PpoMath.Whiten(rewards, keepMean: true);
        Rows("whitened_rewards", rewards, 1e-4);

        using var scope = TensorScope.Begin();
        using var inputs = new InputSet(golden.Model.Device);
        golden.Move();
        var objective = new PpoObjective(options, head);
        var batch = AlignmentGolden.Batch(examples);
        var loss = objective.Loss(golden.Model, batch, 1f / ((IObjective)objective).Weight(batch), inputs);
        loss.Backward();

        Assert.Equal(Number(numbers, "loss"), loss.Item(), 5e-5);
        golden.AssertGradients("ppo", 1e-4);
        foreach (var parameter in head.Parameters())
            AlignmentGolden.AssertNear(
                golden.Values($"ppo.grad.{parameter.Path}"), parameter.Value.Grad!.ToArray(), 5e-5,
                parameter.Path.Value);
        var metrics = objective.TakeMetrics(training: false);
        Assert.Equal(Number(numbers, "policy_loss"), metrics["loss/policy_avg"], 5e-5);
        Assert.Equal(Number(numbers, "value_loss"), metrics["loss/value_avg"], 5e-5);
        Assert.Equal(Number(numbers, "entropy"), metrics["policy/entropy_avg"], 1e-4);
        Assert.Equal(Number(numbers, "approxkl"), metrics["policy/approxkl_avg"], 1e-4);
        Assert.Equal(Number(numbers, "clipfrac"), metrics["policy/clipfrac_avg"], 1e-6);
        Assert.Equal(Number(numbers, "value_clipfrac"), metrics["val/clipfrac_avg"], 1e-6);

        void Rows(string key, double[][] actual, double tolerance, bool states = true)
        {
            for (var i = 0; i < actual.Length; i++)
                AlignmentGolden.AssertNear(
                    golden.Row("ppo." + key, i, states), Floats(actual[i]), tolerance, $"{key} of row {i}");
        }
    }

    [Theory]
    [InlineData("dapo")]
    [InlineData("grpo")]
    [InlineData("bnpo")]
    [InlineData("dr_grpo")]
    [InlineData("sequence")]
    public void Grpo_LossAndGradients_EqualPyTorchs(string name)
    {
        using var golden = new AlignmentGolden();
        var options = new GrpoOptions
        {
            Beta = 0.04,
            EpsilonHigh = 0.28,
            ResponseLength = 10,
            SequenceLevel = name == "sequence",
            Loss = name switch
            {
                "grpo" => GrpoLoss.Grpo,
                "bnpo" => GrpoLoss.Bnpo,
                "dr_grpo" => GrpoLoss.DrGrpo,
                _ => GrpoLoss.Dapo,
            },
        };
        var examples = golden.Rollouts();
        new PolicyScorer(golden.Model, null, 1, 4, usesReference: true).Score(examples);
        var advantages = golden.Values("grpo.loss_advantages");
        for (var i = 0; i < examples.Length; i++)
            examples[i].Advantages = [.. Enumerable.Repeat(advantages[i], examples[i].Count)];

        using var scope = TensorScope.Begin();
        using var inputs = new InputSet(golden.Model.Device);
        golden.Move();
        var objective = new GrpoObjective(options);
        var batch = AlignmentGolden.Batch(examples);
        var loss = objective.Loss(golden.Model, batch, 1f / ((IObjective)objective).Weight(batch), inputs);
        loss.Backward();

        Assert.Equal(Number(golden.Numbers.GetProperty("grpo"), name), loss.Item(), 5e-5);
        golden.AssertGradients("grpo." + name, 1e-4);
    }

    [Theory]
    [InlineData(GrpoScale.Group, "advantages")]
    [InlineData(GrpoScale.Batch, "batch_advantages")]
    [InlineData(GrpoScale.None, "centred_advantages")]
    public void GrpoAdvantages_EqualPyTorchs(GrpoScale scale, string key)
    {
        using var golden = new AlignmentGolden();
        var scores = Doubles(golden.Values("grpo.scores"));
        var advantages = GrpoTrainer.Advantages(scores, 3, scale, out var equal);
        AlignmentGolden.AssertNear(golden.Values("grpo." + key), Floats(advantages), 1e-6, key);
        Assert.Equal(0.5, equal);
    }

    // The vectors of research: rewards 1 0 0 1 1 0 0 0 have mean .375 and deviation .5175492.
    [Fact]
    public void KnownVectors()
    {
        var group = GrpoTrainer.Advantages([1, 0, 0, 1, 1, 0, 0, 0], 8, GrpoScale.Group, out _);
        Assert.Equal(1.207381, group[0], 1e-6);
        Assert.Equal(-0.724429, group[1], 1e-6);

        double[] rewards = [-.01, .02, -.03, 1];
        float[] values = [.1f, .2f, .3f, .4f];
        var advantages = PpoMath.Advantages(rewards, values, 1, .95);
        double[] expected = [.7816, .7280, .6400, .6000];
        for (var t = 0; t < 4; t++)
            Assert.Equal(expected[t], advantages[t], 5e-5);
        double[] rounded = [.7816, .7280, .6400, .6000];
        PpoMath.Whiten([rounded]);
        double[] white = [1.14213, .49226, -.57470, -1.05968];
        for (var t = 0; t < 4; t++)
            Assert.Equal(white[t], rounded[t], 2e-3);

        var example = Example([-1f, -2f], [-1.2f, -1.5f]);
        var k3 = PpoMath.Divergences(example, KlEstimator.K3);
        Assert.Equal(.018731, k3[0], 1e-6);
        Assert.Equal(.148721, k3[1], 1e-6);
    }

    [Fact]
    public void Coefficient_FollowsItsTarget()
    {
        Assert.Equal(0.2 * (1 + (0.2 * 100 / 10000)), PpoMath.Adapt(0.2, 60, 6, 10000, 100), 1e-12);
        Assert.Equal(0.2 * (1 - (0.1 * 100 / 10000)), PpoMath.Adapt(0.2, 5.4, 6, 10000, 100), 1e-12);
    }

    private static ValueHead Head(AlignmentGolden golden)
    {
        var head = new ValueHead(golden.Model);
        foreach (var parameter in head.Parameters())
            golden.Values(parameter.Path.Value).CopyTo(parameter.Value.Span<float>());
        return head;
    }

    private static PpoOptions PpoOptions(JsonElement numbers) => new()
    {
        Temperature = Number(numbers, "temperature"),
        Gamma = Number(numbers, "gamma"),
        Lambda = Number(numbers, "lam"),
        KlCoef = Number(numbers, "kl_coef"),
        ClipRange = Number(numbers, "clip"),
        ClipRangeValue = Number(numbers, "value_clip"),
        VfCoef = Number(numbers, "vf_coef"),
        EntropyCoef = Number(numbers, "entropy_coef"),
    };

    private static RolloutExample[] Scored(AlignmentGolden golden, ValueHead head, PpoOptions options)
    {
        var examples = golden.Rollouts();
        var scores = golden.Values("ppo.scores");
        new PolicyScorer(golden.Model, head, options.Temperature, 4, usesReference: true).Score(examples);
        for (var i = 0; i < examples.Length; i++)
            examples[i].Reward = scores[i];
        return examples;
    }

    private static RolloutExample Example(float[] policy, float[] reference) =>
        new([0, 1, 2], [SftExample.Ignored, 1, 2], new RewardSample(
            new PromptRecord(new PromptExample("", "")), [0], [1, 2], "", true))
        {
            LogProbs = policy,
            Reference = reference,
        };

    private static double Number(JsonElement numbers, string name) => numbers.GetProperty(name).GetDouble();

    private static float[] Floats(double[] values) => Array.ConvertAll(values, v => (float)v);

    private static double[] Doubles(float[] values) => Array.ConvertAll(values, v => (double)v);
}
