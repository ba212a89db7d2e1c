namespace CudaLora.Lora;

/// <summary>
/// Anthropic's transcripts (hh-rlhf): turns that begin with "\n\nHuman:" and "\n\nAssistant:", the last of them the
/// response.
/// </summary>
internal static class Transcript
{
    private const string Human = "\n\nHuman:";
    private const string Assistant = "\n\nAssistant:";

    /// <summary>The conversation, or null when its response is empty.</summary>
    public static ChatExample? Read(JsonAt value)
    {
        string text = value.Text();
        if (text.StartsWith("Human:", StringComparison.Ordinal)) text = "\n\n" + text;
        if (!text.StartsWith(Human, StringComparison.Ordinal))
            throw value.Error("a response to a prompt, but there is no prompt, or a transcript that begins with "
                + "'\\n\\nHuman:'");
        var turns = new List<ChatMessage>();
        for (int at = 0; at < text.Length;)
        {
            bool speaks = text.AsSpan(at).StartsWith(Assistant, StringComparison.Ordinal);
            int from = at + (speaks ? Assistant : Human).Length, to = Next(text, from);
            turns.Add(new ChatMessage(
                speaks ? ChatMessage.Assistant : ChatMessage.User, text[from..to].Trim()));
            at = to;
        }
        if (turns[^1].Role != ChatMessage.Assistant)
            throw value.Error("a transcript whose last turn is the assistant's", "one that ends with 'Human:'");
        return turns[^1].Content.Length == 0 ? null : new ChatExample(turns);
    }

    private static int Next(string text, int from)
    {
        int human = text.IndexOf(Human, from, StringComparison.Ordinal);
        int assistant = text.IndexOf(Assistant, from, StringComparison.Ordinal);
        return Math.Min(human < 0 ? text.Length : human, assistant < 0 ? text.Length : assistant);
    }
}
