using System.Text.Json;

namespace CudaLora.Lora;

/// <summary>What stands before the response of a record: messages, a plain text, or nothing.</summary>
internal readonly struct PromptContext
{
    private readonly IReadOnlyList<ChatMessage>? messages;
    private readonly string? text;

    private PromptContext(IReadOnlyList<ChatMessage>? messages, string? text) =>
        (this.messages, this.text) = (messages, text);

    public bool EndsWithAnswer => messages is [.., { Role: ChatMessage.Assistant }];

    public static PromptContext Of(JsonAt record)
    {
        var opening = new List<ChatMessage>();
        if (record.Get("system").TextOrNull() is { Length: > 0 } system)
            opening.Add(new ChatMessage(ChatMessage.System, system));
        foreach (string name in (string[])["conversations", "messages"])
        {
            if (!record.Get(name).IsNull) return new([.. opening, .. JsonRecords.Turns(record.Get(name))], null);
        }
        var prompt = record.Get("prompt").IsNull ? record.Get("question") : record.Get("prompt");
        if (prompt.Kind == JsonValueKind.Array) return new([.. opening, .. JsonRecords.Turns(prompt)], null);
        if (!prompt.IsNull) return new(null, prompt.Text());
        if (record.Get("instruction").IsNull) return default;
        foreach (var turn in record.Get("history").Items())
        {
            if (turn.Items().ToArray() is not [var question, var answer]) throw turn.Error("a question and an answer");
            opening.Add(new(ChatMessage.User, question.Text()));
            opening.Add(new(ChatMessage.Assistant, answer.Text()));
        }
        string instruction = record.Get("instruction").Text(), input = record.Get("input").TextOrNull() ?? "";
        return new(
            [.. opening, new(ChatMessage.User, input.Length == 0 ? instruction : $"{instruction}\n{input}")], null);
    }

    /// <summary>The response that a record gives beside its prompt.</summary>
    public static JsonAt Response(JsonAt record)
    {
        string[] names = ["completion", "response", "answer", "output"];
        return names.Select(record.Get).FirstOrDefault(value => !value.IsNull, record.Get("completion"));
    }

    /// <summary>This prompt and a response, or null when the response is empty.</summary>
    public DataExample? Answered(JsonAt response)
    {
        if (response.Kind == JsonValueKind.String)
        {
            string words = response.Text();
            if (messages is null && text is null) return Transcript.Read(response);
            if (words.AsSpan().Trim().IsEmpty) return null;
            return text is not null
                ? new PromptExample(text, words)
                : new ChatExample([.. messages!, new ChatMessage(ChatMessage.Assistant, words)]);
        }
        if (response.Kind is not (JsonValueKind.Object or JsonValueKind.Array))
            throw response.Error("a text, a message or a list of messages");
        var turns = response.Kind == JsonValueKind.Object
            ? [JsonRecords.Turn(response)]
            : JsonRecords.Turns(response).ToArray();
        if (turns is not [.., { Role: ChatMessage.Assistant } last])
            throw response.Error("a message of the assistant, or a list that ends with one");
        if (last.Content.AsSpan().Trim().IsEmpty) return null;
        return new ChatExample(text is null
            ? [.. messages ?? [], .. turns]
            : [new ChatMessage(ChatMessage.User, text), .. turns]);
    }

    /// <summary>The conversation itself, when it ends with an answer that is not empty.</summary>
    public DataExample? WithLastAnswer() =>
        EndsWithAnswer && messages![^1].Content.Length > 0 ? new ChatExample(messages) : null;

    /// <summary>The prompt alone; an answer at its end becomes the reference.</summary>
    public PromptRecord? Unanswered(string? reference)
    {
        if (text is not null) return new(new PromptExample(text, ""), reference);
        if (messages is null) return null;
        return EndsWithAnswer
            ? new(new ChatExample([.. messages.SkipLast(1)]), reference ?? messages[^1].Content)
            : new(new ChatExample(messages), reference);
    }
}
