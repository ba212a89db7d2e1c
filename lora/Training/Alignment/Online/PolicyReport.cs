namespace CudaLora.Lora;

/// <summary>Responses of a policy to every prompt, and what they are worth.</summary>
/// <param name="Samples">One response to each prompt, in their order.</param>
/// <param name="Rewards">Their rewards.</param>
/// <param name="Kl">Mean divergence of a response from the reference, in nats; 0 without an adapter.</param>
/// <param name="Entropy">Mean entropy of a response, in nats.</param>
/// <param name="MeanLength">Mean tokens of a response.</param>
public sealed record PolicyReport(
    IReadOnlyList<RewardSample> Samples, IReadOnlyList<float> Rewards, double Kl, double Entropy, double MeanLength)
{
    /// <summary>Mean reward.</summary>
    public double MeanReward => Rewards.Average(r => (double)r);

    /// <summary>Samples one response to each prompt with the adapter that is active.</summary>
    /// <param name="model">The policy.</param>
    /// <param name="run">Prompts, stop ids and reward.</param>
    /// <param name="options">Length, temperature, rows at once.</param>
    /// <param name="seed">Seed of sampling.</param>
    /// <param name="stop">Ends sampling.</param>
    public static PolicyReport Of(
        CausalLM model, OnlineRun run, OnlineOptions options, int seed, CancellationToken stop = default)
    {
        var all = options with { Prompts = run.Prompts.Count, Generations = 1, MiniBatches = 1 };
        all.Validate();
        var examples = new RolloutSampler(
            model, run.Tokenizer, run.Prompts, run.StopIds, all, seed, shuffle: false).Sample(0, stop);
        var samples = Array.ConvertAll(examples, example => example.Sample);
        var rewards = RewardCall.Score(run.Reward, samples, 0);
        new PolicyScorer(
            model, null, options.Temperature, options.RolloutBatchSize, usesReference: model.ActiveAdapter is not null)
            .Score(examples);
        return new PolicyReport(
            samples, rewards, examples.Average(e => e.Divergence),
            examples.Average(e => e.Entropies.Sum(x => (double)x)), examples.Average(e => (double)e.Count));
    }

    /// <summary>Share of the prompts at which this policy's response has the higher value; equal ones count half.
    /// </summary>
    public static double WinRate(IReadOnlyList<float> these, IReadOnlyList<float> those) =>
        these.Zip(those, (a, b) => a > b ? 1.0 : a == b ? 0.5 : 0).Average();
}
