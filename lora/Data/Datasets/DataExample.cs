namespace CudaLora.Lora;

/// <summary>How a data file is laid out.</summary>
public enum DataFormat
{
    /// <summary>Found from the file's content.</summary>
    Auto,

    /// <summary>{"instruction", "input"?, "output", "system"?, "history"?: [[question, answer], ...]}.</summary>
    Alpaca,

    /// <summary>{"messages": [{"role", "content"}, ...]}.</summary>
    Chat,

    /// <summary>{"conversations": [{"from": "human" | "gpt" | "system", "value"}, ...], "system"?}.</summary>
    ShareGpt,

    /// <summary>{"prompt", "completion"}: joined as they are, no template. Also "question" and "answer" or
    /// "response".</summary>
    PromptCompletion,

    /// <summary>Plain text, or {"text"} records: everything is learned.</summary>
    Text,

    /// <summary>One <c>prompt||response</c> a line, as in the E2E files; the delimiter can be chosen.</summary>
    Delimited,
}

/// <summary>One record of a data set.</summary>
public abstract record DataExample;

/// <summary>A conversation, rendered with a chat template. Every assistant turn is learned.</summary>
public sealed record ChatExample(IReadOnlyList<ChatMessage> Messages) : DataExample;

/// <summary>A prompt and what is to follow it, joined without a template.</summary>
public sealed record PromptExample(string Prompt, string Completion) : DataExample;

/// <summary>A document for pretraining.</summary>
public sealed record TextExample(string Text) : DataExample;

/// <summary>How to read a data file.</summary>
public sealed record DataOptions
{
    /// <summary>The layout.</summary>
    public DataFormat Format { get; init; }

    /// <summary>Between prompt and response in <see cref="DataFormat.Delimited"/>.</summary>
    public string Delimiter { get; init; } = "||";

    /// <summary>
    /// Between documents of plain text: a marker such as <c>&lt;|endoftext|&gt;</c>, or "\n\n" for blank lines; ""
    /// makes the file one document. Null: <c>&lt;|endoftext|&gt;</c> if it occurs, else the file is one document.
    /// </summary>
    public string? Separator { get; init; }

    /// <summary>Reads a format by its command-line name; "e2e" is another name for "delimited".</summary>
    /// <exception cref="Engine.UserErrorException">The name is unknown.</exception>
    public static DataFormat ParseFormat(string name) => name.Replace('_', '-') switch
    {
        "auto" => DataFormat.Auto,
        "alpaca" => DataFormat.Alpaca,
        "chat" or "messages" or "openai" => DataFormat.Chat,
        "sharegpt" => DataFormat.ShareGpt,
        "prompt-completion" => DataFormat.PromptCompletion,
        "text" => DataFormat.Text,
        "delimited" or "e2e" => DataFormat.Delimited,
        _ => throw new Engine.UserErrorException("[data-format] must be auto, alpaca, chat, sharegpt, "
            + $"prompt-completion, text, delimited or e2e, but got {name}"),
    };
}
