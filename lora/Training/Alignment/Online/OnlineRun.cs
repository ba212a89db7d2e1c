using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>What an online training works with.</summary>
/// <param name="Prompts">Prompts with their tokens.</param>
/// <param name="Tokenizer">Turns responses into text.</param>
/// <param name="StopIds">Tokens that end a response.</param>
/// <param name="Reward">Judges responses.</param>
public sealed record OnlineRun(
    IReadOnlyList<(PromptRecord Record, int[] Ids)> Prompts, Tokenizer Tokenizer, IReadOnlyList<int> StopIds,
    IReward Reward)
{
    /// <summary>The stream the adapter's dropout draws from; part of a checkpoint.</summary>
    public Generator? Random { get; init; }

    /// <summary>Who is told, or null.</summary>
    public ITrainerObserver? Observer { get; init; }

    /// <summary>Whether responses are compared with the reference policy.</summary>
    public bool UsesReference { get; init; } = true;

    /// <summary>
    /// The reference policy: a frozen copy of the model as it was, which training in full needs. Null with an adapter,
    /// whose absence is the reference.
    /// </summary>
    public CausalLM? Reference { get; init; }
}
