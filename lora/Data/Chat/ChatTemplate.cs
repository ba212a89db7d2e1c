using System.Text;
using System.Text.RegularExpressions;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Writes conversations as a model was trained to read them. A Jinja template is not run: its family is recognised by
/// its markers and rendered by hand-written code that follows the published templates.
/// </summary>
public abstract partial class ChatTemplate
{
    /// <summary>Names that <see cref="Named"/> accepts.</summary>
    public static IReadOnlyList<string> Names { get; } = ["plain", "alpaca", "chatml", "llama2", "mistral", "llama3",
        "gemma"];

    private protected ChatTemplate(string name, Tokenizer tokenizer)
    {
        Name = name;
        Bos = tokenizer.BosId is { } bos ? tokenizer.TokenOf(bos) : "";
        Eos = tokenizer.EosId is { } eos ? tokenizer.TokenOf(eos) : "";
    }

    /// <summary>The family's name, one of <see cref="Names"/>.</summary>
    public string Name { get; }

    /// <summary>True when the rendered text holds the begin token, so that encoding must not add it again.</summary>
    public virtual bool WritesBos => true;

    /// <summary>What ends an assistant's turn, such as &lt;|im_end|&gt;; empty if there is nothing.</summary>
    public abstract string EndOfTurn { get; }

    private protected string Bos { get; }
    private protected string Eos { get; }

    /// <summary>
    /// The template of a tokenizer. Without one, or with one that is not recognised (then <paramref name="warn"/> hears
    /// of it), it is "plain".
    /// </summary>
    public static ChatTemplate For(Tokenizer tokenizer, Action<string>? warn = null)
    {
        if (tokenizer.ChatTemplate is not { } jinja) return Named("plain", tokenizer);
        bool Has(string marker) => jinja.Contains(marker, StringComparison.Ordinal);
        if (Has("<|im_start|>")) return new ChatMl(tokenizer, DefaultSystem(jinja));
        if (Has("<|start_header_id|>")) return new Llama3(tokenizer, Preamble(jinja));
        if (Has("<start_of_turn>")) return new Gemma(tokenizer);
        if (Has("[INST]")) return Has("<<SYS>>") ? new Llama2(tokenizer) : new Mistral(tokenizer, Has(" [/INST]"));
        if (Has("### Instruction:")) return Named(Has("Below is an instruction") ? "alpaca" : "plain", tokenizer);
        warn?.Invoke($"the chat template is of no known kind ({FirstWords(jinja)}); the plain template is used");
        return Named("plain", tokenizer);
    }

    /// <summary>A template by name.</summary>
    /// <exception cref="UserErrorException">The name is not one of <see cref="Names"/>.</exception>
    public static ChatTemplate Named(string name, Tokenizer tokenizer) => name switch
    {
        "plain" => new Alpaca("plain", tokenizer, ""),
        "alpaca" => new Alpaca("alpaca", tokenizer, Alpaca.Opening),
        "chatml" => new ChatMl(tokenizer, null),
        "llama2" => new Llama2(tokenizer),
        "mistral" => new Mistral(tokenizer, blankBeforeEnd: true),
        "llama3" => new Llama3(tokenizer, null),
        "gemma" => new Gemma(tokenizer),
        _ => throw new UserErrorException($"[template] name must be one of {string.Join(", ", Names)}, but got {name}"),
    };

    /// <summary>Renders a conversation as stretches that are learned or not; neighbours differ in that.</summary>
    /// <param name="messages">A system message first (or none), then turns.</param>
    /// <param name="addGenerationPrompt">End with the marker after which the assistant speaks.</param>
    public IReadOnlyList<ChatPart> Render(IReadOnlyList<ChatMessage> messages, bool addGenerationPrompt = false)
    {
        var output = new PartWriter();
        string? system = messages.Count > 0 && messages[0].Role == ChatMessage.System ? messages[0].Content : null;
        Write(output, system, system == null ? messages : messages.Skip(1).ToArray(), addGenerationPrompt);
        return output.Finish();
    }

    /// <summary>The rendered conversation as one text.</summary>
    public string RenderText(IReadOnlyList<ChatMessage> messages, bool addGenerationPrompt = false) =>
        string.Concat(Render(messages, addGenerationPrompt).Select(part => part.Text));

    /// <summary>Ids that end a generated turn: the end-of-turn token, if it is one token, and the end-of-text
    /// token.</summary>
    public static IReadOnlyList<int> StopIds(ChatTemplate template, Tokenizer tokenizer)
    {
        var ids = new List<int>();
        if (tokenizer.EosId is { } eos) ids.Add(eos);
        if (template.EndOfTurn.Trim() is { Length: > 0 } end && tokenizer.TryGetId(end, out int id)
            && !ids.Contains(id))
            ids.Add(id);
        return ids;
    }

    private protected abstract void Write(PartWriter output, string? system, IReadOnlyList<ChatMessage> turns,
        bool prompt);

    // Qwen's templates carry a system message for conversations that have none.
    private static string? DefaultSystem(string jinja)
    {
        var match = Regex.Match(jinja, @"<\|im_start\|>system(?:\\n|\n)([^<{}']+)<\|im_end\|>");
        return match.Success ? match.Groups[1].Value : null;
    }

    // Llama 3.1's template always opens with a system turn that tells two dates.
    private static string? Preamble(string jinja)
    {
        if (!jinja.Contains("Cutting Knowledge Date: December 2023", StringComparison.Ordinal)) return null;
        var match = Regex.Match(jinja, "date_string = \"([^\"]+)\"");
        string date = match.Success ? match.Groups[1].Value : "26 Jul 2024";
        return $"Cutting Knowledge Date: December 2023\nToday Date: {date}\n\n";
    }

    private static string FirstWords(string jinja)
    {
        string line = Regex.Replace(jinja, @"\s+", " ").Trim();
        return line.Length <= 60 ? line : line[..60] + "...";
    }

    /// <summary>Collects text, joining neighbours of the same kind.</summary>
    private protected sealed class PartWriter
    {
        private readonly List<ChatPart> _parts = [];
        private readonly StringBuilder _text = new();
        private bool _learned;

        public void Given(string text) => Add(text, false);

        public void Learned(string text) => Add(text, true);

        public IReadOnlyList<ChatPart> Finish()
        {
            Flush();
            return _parts;
        }

        private void Add(string text, bool learned)
        {
            if (text.Length == 0) return;
            if (learned != _learned) Flush();
            _learned = learned;
            _text.Append(text);
        }

        private void Flush()
        {
            if (_text.Length > 0) _parts.Add(new ChatPart(_text.ToString(), _learned));
            _text.Clear();
        }
    }
}
