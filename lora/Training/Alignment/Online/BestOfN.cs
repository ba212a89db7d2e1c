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
        options.Validate();
        var best = new List<BestResponse>();
        // One prompt at a time keeps the order; its responses are a batch.
        for (var i = 0; i < run.Prompts.Count; i++)
        {
            var sampler = new RolloutSampler(
                model, run.Tokenizer, [run.Prompts[i]], run.StopIds, options with { Prompts = 1, MiniBatches = 1 },
                seed);
            var samples = Array.ConvertAll(sampler.Sample(i, stop), example => example.Sample);
            var rewards = RewardCall.Score(run.Reward, samples, i + 1);
            var at = Array.IndexOf(rewards, rewards.Max());
            best.Add(new BestResponse(samples[at], rewards[at], rewards.Average(r => (double)r)));
        }
        return best;
    }
}
