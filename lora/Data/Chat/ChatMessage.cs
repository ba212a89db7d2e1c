namespace CudaLora.Lora;

/// <summary>One turn of a conversation.</summary>
/// <param name="Role">"system", "user", "assistant"; others are written as they are.</param>
/// <param name="Content">The text.</param>
public sealed record ChatMessage(string Role, string Content)
{
    /// <summary>The role whose turns are learned.</summary>
    public const string Assistant = "assistant";

    /// <summary>The role that asks.</summary>
    public const string User = "user";

    /// <summary>The role of the instruction before the first turn.</summary>
    public const string System = "system";
}

/// <summary>A stretch of a rendered conversation.</summary>
/// <param name="Text">The text, special tokens written out.</param>
/// <param name="Learned">True for what the assistant says, its end marker included.</param>
public readonly record struct ChatPart(string Text, bool Learned);
