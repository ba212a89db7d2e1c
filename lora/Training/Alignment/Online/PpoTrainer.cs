using System.Text.Json.Nodes;

namespace CudaLora.Lora;

/// <summary>
/// Proximal policy optimisation of an adapter against a reward (Ziegler et al. 2019; Ouyang et al. 2022). The reference
/// is the same base without the adapter; the value head shares the policy's hidden states. The reward comes after a
/// response's last token, see <see cref="RolloutExample.IsRewardedAfterEnd"/>.
/// </summary>
public sealed class PpoTrainer : OnlineTrainer
{
    private readonly PpoOptions options;

    /// <summary>Prepares a run.</summary>
    /// <param name="arguments">Steps (<see cref="TrainingArguments.MaxSteps"/>), rate, saving, seed; the batch size is
    /// the rows of a micro-batch.</param>
    /// <param name="options">PPO's own.</param>
    /// <param name="method">The adapter, with a value head.</param>
    /// <param name="run">Prompts and reward.</param>
    public PpoTrainer(TrainingArguments arguments, PpoOptions options, PolicyFineTuning method, OnlineRun run)
        : base(
            arguments, options, method,
            new PpoObjective(options, method.Head ?? throw new ArgumentException("[ppo] a value head must be there")),
            run)
    {
        this.options = options;
        KlCoef = options.KlCoef;
    }

    /// <summary>The coefficient of the divergence, which may adapt.</summary>
    public double KlCoef { get; private set; }

    /// <inheritdoc/>
    protected override string Name => "ppo";

    private protected override JsonObject Remember() => new() { ["kl_coef"] = KlCoef };

    private protected override void Recall(JsonObject memory) => KlCoef = (double)memory["kl_coef"]!;

    private protected override void Assess(RolloutExample[] examples, Dictionary<string, double> metrics)
    {
        var rewards = Array.ConvertAll(examples, e => PpoMath.Rewards(e, KlCoef, options.KlEstimator));
        metrics["objective/kl_coef"] = KlCoef;
        metrics["objective/non_score_reward"] = examples.Zip(rewards, (e, r) => r.Sum() - e.Reward).Average();
        metrics["objective/rlhf_reward"] = rewards.Average(r => r.Sum());
        Estimate(examples, rewards, options);
        metrics["val/explained_variance"] = PpoMath.ExplainedVariance(examples);
        if (options.KlTarget is { } target)
            KlCoef = PpoMath.Adapt(KlCoef, metrics["objective/kl"], target, options.KlHorizon, examples.Length);
    }

    /// <summary>Advantages and returns of scored examples from the rewards at their states.</summary>
    internal static void Estimate(RolloutExample[] examples, double[][] rewards, PpoOptions options)
    {
        if (options.WhitenRewards)
            PpoMath.Whiten(rewards, keepMean: true);
        var advantages = examples
            .Select((e, i) => PpoMath.Advantages(rewards[i], e.Values, options.Gamma, options.Lambda)).ToArray();
        for (var i = 0; i < examples.Length; i++)
            examples[i].Returns = [.. advantages[i].Select((a, t) => (float)(a + examples[i].Values[t]))];
        // The state after the end has a value and no action, so no advantage.
        var ofTokens = advantages.Select((row, i) => row[..examples[i].Count]).ToArray();
        PpoMath.Whiten(ofTokens);
        for (var i = 0; i < examples.Length; i++)
            examples[i].Advantages = Array.ConvertAll(ofTokens[i], a => (float)a);
    }
}
