namespace CudaLora.Lora;

/// <summary>
/// A sampled response with what is known of its tokens at the time of sampling. Arrays have one value per token of the
/// response, where nothing else is said.
/// </summary>
/// <param name="Ids">Prompt and response (T).</param>
/// <param name="Labels">The response's ids, -100 in the prompt (T).</param>
/// <param name="Sample">The response as rewards see it.</param>
public sealed record RolloutExample(int[] Ids, int[] Labels, RewardSample Sample) : SftExample(Ids, Labels)
{
    /// <summary>Tokens of the response.</summary>
    public int Count => Sample.ResponseIds.Count;

    /// <summary>
    /// Whether PPO's reward comes one place after the last token, at the state which that token leads to: so where a
    /// response is shorter than the limit. At the limit no such place is left, and it comes at the last token.
    /// </summary>
    public bool IsRewardedAfterEnd { get; init; }

    /// <summary>States with a value: one before each token, and perhaps the one after the last (S).</summary>
    public int States => Count + (IsRewardedAfterEnd ? 1 : 0);

    /// <summary>Reward of the response, penalties taken off.</summary>
    public float Reward { get; set; }

    /// <summary>Log-probabilities under the policy that sampled it, at the sampling temperature.</summary>
    public float[] LogProbs { get; set; } = [];

    /// <summary>The same under the reference policy; equal to <see cref="LogProbs"/> where it is not used.</summary>
    public float[] Reference { get; set; } = [];

    /// <summary>Entropy of the distribution each token was drawn from.</summary>
    public float[] Entropies { get; set; } = [];

    /// <summary>Value of each state (S); PPO only.</summary>
    public float[] Values { get; set; } = [];

    /// <summary>How much better each token was than expected.</summary>
    public float[] Advantages { get; set; } = [];

    /// <summary>What the value head is to predict at each state (S); PPO only.</summary>
    public float[] Returns { get; set; } = [];

    /// <summary>Divergence from the reference: Σ (log π - log ref).</summary>
    public double Divergence => LogProbs.Zip(Reference, (a, b) => (double)a - b).Sum();
}
