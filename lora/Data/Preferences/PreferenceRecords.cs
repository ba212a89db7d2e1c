namespace CudaLora.Lora;

/// <summary>Two responses to one prompt, of which a person or a rule prefers the first.</summary>
/// <param name="Chosen">Prompt and preferred response.</param>
/// <param name="Rejected">Prompt and the other response.</param>
/// <param name="Margin">How much better the first is, for reward models; 0 if the data does not say.</param>
public sealed record PreferencePair(DataExample Chosen, DataExample Rejected, float Margin = 0);

/// <summary>A response that is judged by itself, for KTO.</summary>
/// <param name="Example">Prompt and response.</param>
/// <param name="Desirable">The judgement.</param>
public sealed record LabelledResponse(DataExample Example, bool Desirable);

/// <summary>A prompt to be answered, for PPO and GRPO.</summary>
/// <param name="Prompt">A conversation that ends before the answer, or a text with an empty completion.</param>
/// <param name="Reference">The answer that the data gives, for rewards that compare with it.</param>
public sealed record PromptRecord(DataExample Prompt, string? Reference = null)
{
    /// <summary>The last question, or the text.</summary>
    public string Text => Prompt switch
    {
        ChatExample chat => chat.Messages.LastOrDefault(m => m.Role == ChatMessage.User)?.Content ?? "",
        PromptExample prompt => prompt.Prompt,
        _ => "",
    };
}
