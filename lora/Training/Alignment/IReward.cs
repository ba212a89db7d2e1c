namespace CudaLora.Lora;

/// <summary>A response to be rewarded.</summary>
/// <param name="Prompt">The record it answers.</param>
/// <param name="PromptIds">The prompt as tokens.</param>
/// <param name="ResponseIds">The response as tokens, the one that ended it included.</param>
/// <param name="Response">The response as text, without special tokens.</param>
/// <param name="IsFinished">Whether it ended by itself, not by the length limit.</param>
public sealed record RewardSample(
    PromptRecord Prompt, IReadOnlyList<int> PromptIds, IReadOnlyList<int> ResponseIds, string Response,
    bool IsFinished);

/// <summary>Judges responses: a trained model, or a rule.</summary>
public interface IReward
{
    /// <summary>Name in logs and messages.</summary>
    string Name { get; }

    /// <summary>Writes the reward of each sample; higher is better.</summary>
    void Score(IReadOnlyList<RewardSample> samples, Span<float> rewards);
}

/// <summary>A reward given by a function of one sample.</summary>
/// <param name="name">Name in logs and messages.</param>
/// <param name="score">The reward of a sample.</param>
public sealed class FunctionReward(string name, Func<RewardSample, double> score) : IReward
{
    /// <inheritdoc/>
    public string Name => name;

    /// <inheritdoc/>
    public void Score(IReadOnlyList<RewardSample> samples, Span<float> rewards)
    {
        for (var i = 0; i < samples.Count; i++)
            rewards[i] = (float)score(samples[i]);
    }
}
