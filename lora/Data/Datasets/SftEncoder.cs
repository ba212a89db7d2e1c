using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Turns records into ids and labels. Prompt and response are tokenised apart, so that the ids of a prompt are the same
/// in training and in generation, whatever follows.
/// </summary>
public sealed class SftEncoder
{
    private readonly Tokenizer _tokenizer;
    private readonly ChatTemplate _template;
    private readonly SftOptions _options;
    private readonly int _promptTail;

    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="template">For conversations.</param>
    /// <param name="options">Lengths and what is learned.</param>
    public SftEncoder(Tokenizer tokenizer, ChatTemplate template, SftOptions? options = null)
    {
        _tokenizer = tokenizer;
        _template = template;
        _options = options ?? new SftOptions();
        if (_options.MaxLength < 2)
            throw new UserErrorException($"[max-length] must be at least 2, but got {_options.MaxLength}");
        // What stands between the end of a question and its answer must survive when the question is cut.
        string ask = template.RenderText([new ChatMessage(ChatMessage.User, "x")], addGenerationPrompt: true);
        string tail = ask[(ask.LastIndexOf('x') + 1)..];
        _promptTail = tokenizer.Encode(tail, addSpecialTokens: false).Length;
    }

    /// <summary>Tokenises a whole set.</summary>
    /// <exception cref="UserErrorException">Nothing that could be learned is left.</exception>
    public SftData EncodeAll(IEnumerable<DataExample> records)
    {
        var examples = new List<SftExample>();
        int truncated = 0, dropped = 0, count = 0;
        foreach (var record in records)
        {
            count++;
            int before = examples.Count;
            foreach (var example in Encode(record, out bool cut))
            {
                if (example.LabelCount > 0) examples.Add(example);
                if (cut) truncated++;
            }
            if (examples.Count == before) dropped++;
        }
        if (examples.Count == 0)
            throw new UserErrorException($"[data] some record must have a token to learn, but none of {count} has");
        return new SftData(examples, truncated, dropped);
    }

    /// <summary>Tokenises a record: one example, or several for a document longer than the maximum.</summary>
    /// <param name="record">The record.</param>
    /// <param name="truncated">True when part of it was left out.</param>
    public IReadOnlyList<SftExample> Encode(DataExample record, out bool truncated)
    {
        truncated = false;
        if (record is TextExample text) return Document(text);
        var parts = Parts(record);
        int total = parts.Sum(part => part.Ids.Length);
        if (total <= _options.MaxLength) return [Join(parts)];
        truncated = true;
        // Later turns that do not fit are left out; a first turn that does not fit is cut.
        int first = parts[0].IsResponse || parts.Count == 1 ? 1 : 2, kept = first;
        int used = parts.Take(first).Sum(part => part.Ids.Length);
        for (; kept + 1 < parts.Count; kept += 2)
        {
            int turn = parts[kept].Ids.Length + parts[kept + 1].Ids.Length;
            if (used + turn > _options.MaxLength) break;
            used += turn;
        }
        var chosen = parts.Take(kept).ToList();
        if (used > _options.MaxLength) Cut(chosen);
        return [Join(chosen)];
    }

    /// <summary>The ids to generate from: everything up to the last response, with the marker that asks for
    /// it.</summary>
    public int[] EncodePrompt(DataExample record)
    {
        if (record is TextExample text) return _tokenizer.Encode(text.Text);
        if (record is PromptExample prompt) return _tokenizer.Encode(prompt.Prompt);
        var messages = ((ChatExample)record).Messages.ToList();
        while (messages.Count > 0 && messages[^1].Role == ChatMessage.Assistant) messages.RemoveAt(messages.Count - 1);
        return EncodePrompt(messages);
    }

    /// <summary>The ids to generate an answer from.</summary>
    public int[] EncodePrompt(IReadOnlyList<ChatMessage> messages)
    {
        var ids = new List<int>();
        AddPrefix(ids);
        // Earlier answers are tokenised apart here as in training.
        foreach (var part in _template.Render(messages, addGenerationPrompt: true))
            EncodeRendered(part.Text, ids);
        return [.. ids];
    }

    /// <summary>
    /// A record as what stands before its last response, with the marker that asks for it, and that response with its
    /// end token.
    /// </summary>
    /// <exception cref="UserErrorException">The record holds no response.</exception>
    public (int[] Prompt, int[] Response) EncodeTurn(DataExample record)
    {
        var parts = record is TextExample ? [] : Parts(record);
        int last = parts.FindLastIndex(part => part.IsResponse);
        if (last < 1)
            throw new UserErrorException("[data] a record must be a prompt and a response, but has no "
                + (last < 0 ? "response" : "prompt"));
        return ([.. parts.Take(last).SelectMany(part => part.Ids)], parts[last].Ids);
    }

    /// <summary>The response that a record holds, for comparison with a generated one; null for documents.</summary>
    public static string? Reference(DataExample record) => record switch
    {
        ChatExample chat => chat.Messages.LastOrDefault(message => message.Role == ChatMessage.Assistant)?.Content,
        PromptExample prompt => prompt.Completion.Trim(),
        _ => null,
    };

    private readonly record struct Part(int[] Ids, bool IsResponse, bool Learned);

    private List<Part> Parts(DataExample record)
    {
        if (record is PromptExample prompt)
            return
            [
                new Part(_tokenizer.Encode(prompt.Prompt), false, _options.LearnPrompt),
                new Part([.. _tokenizer.Encode(prompt.Completion, addSpecialTokens: false), .. Eos()], true, true),
            ];
        var parts = new List<Part>();
        foreach (var part in _template.Render(((ChatExample)record).Messages))
        {
            var ids = new List<int>();
            if (parts.Count == 0) AddPrefix(ids);
            EncodeRendered(part.Text, ids);
            parts.Add(new Part([.. ids], part.Learned, part.Learned || _options.LearnPrompt));
        }
        return parts;
    }

    private List<SftExample> Document(TextExample text)
    {
        int[] ids = [.. _tokenizer.Encode(text.Text), .. Eos()];
        var pieces = new List<SftExample>();
        for (int at = 0; at < ids.Length; at += _options.MaxLength)
        {
            var piece = ids[at..Math.Min(at + _options.MaxLength, ids.Length)];
            if (piece.Length > 1) pieces.Add(new SftExample(piece, piece));
        }
        return pieces;
    }

    private void AddPrefix(List<int> ids)
    {
        if (!_template.WritesBos) foreach (int id in _tokenizer.Prefix) ids.Add(id);
    }

    // The begin and end tokens that a template writes out are read here, not by the tokenizer: where its file declares
    // them "normalized" (TinyStories-656K does), it finds them at the start of a text only.
    private void EncodeRendered(string text, List<int> ids)
    {
        for (int at = 0; at < text.Length;)
        {
            int found = text.Length;
            int? marker = null;
            foreach (var id in (int?[])[_tokenizer.BosId, _tokenizer.EosId])
            {
                if (id == null) continue;
                int next = text.IndexOf(_tokenizer.TokenOf(id.Value), at, StringComparison.Ordinal);
                if (next >= 0 && next < found) (found, marker) = (next, id);
            }
            if (found > at) _tokenizer.Encode(text[at..found], ids, addSpecialTokens: false);
            if (marker == null) return;
            ids.Add(marker.Value);
            at = found + _tokenizer.TokenOf(marker.Value).Length;
        }
    }

    private int[] Eos() => _tokenizer.EosId is { } eos ? [eos] : [];

    // Who takes at most half of the room stays whole; else both are cut in proportion. A question loses what stands
    // before its closing marker, an answer loses its end (and with it the end token, which would teach stopping
    // anywhere).
    private void Cut(List<Part> parts)
    {
        int room = _options.MaxLength;
        if (parts.Count == 1)
        {
            parts[0] = parts[0] with { Ids = parts[0].Ids[..room] };
            return;
        }
        int prompt = parts[0].Ids.Length, response = parts[1].Ids.Length;
        int promptRoom = 2 * response <= room ? room - response
            : 2 * prompt <= room ? prompt
            : Math.Max(1, (int)((long)room * prompt / (prompt + response)));
        if (promptRoom < prompt)
        {
            int tail = Math.Min(_promptTail, promptRoom);
            parts[0] = parts[0] with { Ids = [.. parts[0].Ids[..(promptRoom - tail)], .. parts[0].Ids[^tail..]] };
        }
        parts[1] = parts[1] with { Ids = parts[1].Ids[..Math.Min(response, room - parts[0].Ids.Length)] };
    }

    private static SftExample Join(List<Part> parts)
    {
        int[] ids = parts.SelectMany(part => part.Ids).ToArray();
        int[] labels = parts.SelectMany(part => part.Learned ? part.Ids : Enumerable.Repeat(SftExample.Ignored,
            part.Ids.Length))
            .ToArray();
        return new SftExample(ids, labels);
    }
}
