namespace CudaLora.Lora;

/// <summary>A prompt's best response among several.</summary>
/// <param name="Sample">The response.</param>
/// <param name="Reward">Its reward.</param>
/// <param name="MeanReward">The mean over all that were sampled.</param>
/// <param name="FirstReward">That of the first: what one sample alone gives.</param>
public sealed record BestResponse(RewardSample Sample, float Reward, double MeanReward, float FirstReward);

/// <summary>
/// Rejection sampling: several responses to each prompt, of which the one with the highest reward is kept, the first
/// among equals. The result can be answered with, or trained on.
/// </summary>
public static class BestOfN
{
    /// <summary>The best of <see cref="OnlineOptions.Generations"/> responses to each prompt, in the order of the
    /// prompts; <see cref="OnlineOptions.MissingEosPenalty"/> is taken off rewards.</summary>
    /// <param name="model">The policy.</param>
    /// <param name="run">Prompts, stop ids and reward.</param>
    /// <param name="options">How many, how long, at which temperature.</param>
    /// <param name="seed">Seed of sampling.</param>
    /// <param name="stop">Ends sampling.</param>
    public static IReadOnlyList<BestResponse> Select(
        CausalLM model, OnlineRun run, OnlineOptions options, int seed, CancellationToken stop = default) =>
        [.. Each(model, run, options, seed, stop)];

    /// <summary>The same, as many prompts at a time as fit in a rollout batch: what is done can be kept when the rest
    /// is given up.</summary>
    /// <inheritdoc cref="Select"/>
    public static IEnumerable<BestResponse> Each(
        CausalLM model, OnlineRun run, OnlineOptions options, int seed, CancellationToken stop = default)
    {
        var part = 0;
        foreach (var prompts in run.Prompts.Chunk(Math.Max(1, options.RolloutBatchSize / options.Generations)))
        {
            var all = options with { Prompts = prompts.Length, MiniBatches = 1 };
            all.Validate();
            var samples = Array.ConvertAll(
                new RolloutSampler(model, run.Tokenizer, prompts, run.StopIds, all, seed, shuffle: false)
                    .Sample(part++, stop),
                example => example.Sample);
            var rewards = RewardCall.Score(run.Reward, samples, part);
            for (var i = 0; i < rewards.Length; i++)
                rewards[i] = options.Counted(samples[i], rewards[i]);
            for (var first = 0; first < samples.Length; first += options.Generations)
                yield return Best(samples, rewards, first, options.Generations);
        }
    }

    private static BestResponse Best(RewardSample[] samples, float[] rewards, int first, int count)
    {
        var group = rewards[first..(first + count)];
        var at = Array.IndexOf(group, group.Max());
        return new BestResponse(samples[first + at], group[at], group.Average(r => (double)r), group[0]);
    }
}
