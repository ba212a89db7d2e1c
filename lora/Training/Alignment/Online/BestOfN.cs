namespace CudaLora.Lora;

/// <summary>A prompt's best response among several.</summary>
/// <param name="Sample">The response.</param>
/// <param name="Reward">Its reward.</param>
/// <param name="MeanReward">The mean over all that were sampled.</param>
public sealed record BestResponse(RewardSample Sample, float Reward, double MeanReward);

/// <summary>
/// Rejection sampling: several responses to each prompt, of which the one with the highest reward is kept, the first
/// among equals. The result can be answered with, or trained on.
/// </summary>
public static class BestOfN
{
    /// <summary>The best of <see cref="OnlineOptions.Generations"/> responses to each prompt, in the order of the
    /// prompts.</summary>
    /// <param name="model">The policy.</param>
    /// <param name="run">Prompts, stop ids and reward.</param>
    /// <param name="options">How many, how long, at which temperature.</param>
    /// <param name="seed">Seed of sampling.</param>
    /// <param name="stop">Ends sampling.</param>
    public static IReadOnlyList<BestResponse> Select(
        CausalLM model, OnlineRun run, OnlineOptions options, int seed, CancellationToken stop = default)
    {
        var all = options with { Prompts = run.Prompts.Count, MiniBatches = 1 };
        all.Validate();
        var samples = Array.ConvertAll(
            new RolloutSampler(model, run.Tokenizer, run.Prompts, run.StopIds, all, seed, shuffle: false)
                .Sample(0, stop),
            example => example.Sample);
        var rewards = RewardCall.Score(run.Reward, samples, 0);
        var best = new List<BestResponse>();
        for (var first = 0; first < samples.Length; first += options.Generations)
        {
            var group = rewards[first..(first + options.Generations)];
            var at = Array.IndexOf(group, group.Max());
            best.Add(new BestResponse(samples[first + at], group[at], group.Average(r => (double)r)));
        }
        return best;
    }
}
