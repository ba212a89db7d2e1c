using System.Text.RegularExpressions;

namespace CudaLora.Lora;

/// <summary>Splits normalised text into the pieces that BPE merges within, as in tokenizer.json's
/// pre_tokenizer.</summary>
internal sealed class PreTokenizer
{
    private delegate void Step(string text, bool atStart, List<string> pieces);

    private readonly GptSplit? _gpt;
    private readonly Step[] _steps;

    private PreTokenizer(GptSplit? gpt, params Step[] steps) => (_gpt, _steps) = (gpt, steps);

    public static readonly PreTokenizer None = new(null);

    public static PreTokenizer Gpt(GptSplit split) => new(split);

    /// <summary>Calls <paramref name="model"/> for each piece of <paramref name="text"/>, in order.</summary>
    /// <param name="text">Normalised text.</param>
    /// <param name="atStart">True when the text begins the whole input (Metaspace with prepend_scheme "first").</param>
    /// <param name="model">Encodes a piece.</param>
    /// <param name="output">Receives ids.</param>
    public void Encode(string text, bool atStart, BpeModel model, List<int> output)
    {
        if (_gpt != null)
        {
            for (int at = 0; at < text.Length;)
            {
                int end = _gpt.Next(text, at);
                model.Encode(text.AsSpan(at, end - at), output);
                at = end;
            }
            return;
        }
        var pieces = new List<string> { text };
        foreach (var step in _steps)
        {
            var next = new List<string>(pieces.Count);
            for (int i = 0; i < pieces.Count; i++) step(pieces[i], atStart && i == 0, next);
            pieces = next;
        }
        foreach (string piece in pieces) model.Encode(piece, output);
    }

    public static PreTokenizer Read(JsonAt json)
    {
        var steps = new List<Step>();
        var gpt = new List<GptSplit>();
        Collect(json, steps, gpt);
        if (steps.Count == 0) return None;
        return gpt.Count == 1 && steps.Count == 1 ? Gpt(gpt[0]) : new PreTokenizer(null, [.. steps]);
    }

    private static void Collect(JsonAt json, List<Step> steps, List<GptSplit> gpt)
    {
        if (json.IsNull) return;
        var type = json.Get("type");
        switch (type.Text())
        {
            case "Sequence":
                foreach (var item in json.Get("pretokenizers").Items()) Collect(item, steps, gpt);
                break;
            case "ByteLevel":
                if (json.Get("add_prefix_space").Bool(true))
                    steps.Add((text, _, pieces) =>
                        pieces.Add(text.Length > 0 && char.IsWhiteSpace(text[0]) ? text : " " + text));
                if (json.Get("use_regex").Bool(true)) AddGpt(GptSplit.Gpt2, steps, gpt);
                break;
            case "Split":
                AddSplit(json, steps, gpt);
                break;
            case "Digits":
                var digits = new Regex(json.Get("individual_digits").Bool(false) ? @"\p{N}" : @"\p{N}+");
                steps.Add((text, _, pieces) => Isolate(digits, text, pieces, keepMatch: true));
                break;
            case "Metaspace":
                AddMetaspace(json, steps);
                break;
            case "WhitespaceSplit":
                var blanks = new Regex(@"\s+");
                steps.Add((text, _, pieces) => Isolate(blanks, text, pieces, keepMatch: false));
                break;
            default:
                throw type.Error("Sequence, ByteLevel, Split, Digits, Metaspace or WhitespaceSplit");
        }
    }

    private static void AddGpt(GptSplit split, List<Step> steps, List<GptSplit> gpt)
    {
        gpt.Add(split);
        steps.Add((text, _, pieces) =>
        {
            for (int at = 0; at < text.Length;)
            {
                int end = split.Next(text, at);
                pieces.Add(text[at..end]);
                at = end;
            }
        });
    }

    private static void AddSplit(JsonAt json, List<Step> steps, List<GptSplit> gpt)
    {
        var pattern = json.Get("pattern");
        var behavior = json.Get("behavior");
        bool keep = behavior.Text() switch
        {
            "Isolated" => true,
            "Removed" => false,
            _ => throw behavior.Error("Isolated or Removed"),
        };
        bool invert = json.Get("invert").Bool(false);
        var literal = pattern.Get("String");
        // Removing what an inverted pattern does not match keeps the matches; for a pattern that covers all text it is
        // the same as isolating them.
        if (literal.IsNull && GptSplit.For(pattern.Get("Regex").Text()) is { } split && (keep || invert))
        {
            AddGpt(split, steps, gpt);
            return;
        }
        if (invert) throw json.Get("invert").Error("false with this pattern");
        var regex = literal.IsNull ? Compile(pattern.Get("Regex")) : new Regex(Regex.Escape(literal.Text()));
        steps.Add((text, _, pieces) => Isolate(regex, text, pieces, keep));
    }

    private static void AddMetaspace(JsonAt json, List<Step> steps)
    {
        string blank = json.Get("replacement").TextOrNull() ?? "\u2581";
        var scheme = json.Get("prepend_scheme");
        string when = scheme.TextOrNull() ?? (json.Get("add_prefix_space").Bool(true) ? "always" : "never");
        if (when is not ("always" or "first" or "never")) throw scheme.Error("always, first or never");
        bool split = json.Get("split").Bool(true);
        var word = new Regex($"{Regex.Escape(blank)}?[^{Regex.Escape(blank)}]*", RegexOptions.Singleline);
        steps.Add((text, atStart, pieces) =>
        {
            text = text.Replace(" ", blank, StringComparison.Ordinal);
            bool prepend = when == "always" || (when == "first" && atStart);
            if (prepend && !text.StartsWith(blank, StringComparison.Ordinal)) text = blank + text;
            if (!split) pieces.Add(text);
            else foreach (Match match in word.Matches(text)) if (match.Length > 0) pieces.Add(match.Value);
        });
    }

    public static Regex Compile(JsonAt pattern)
    {
        try
        {
            return new Regex(pattern.Text(), RegexOptions.CultureInvariant);
        }
        catch (ArgumentException)
        {
            throw pattern.Error("a regular expression this program can read");
        }
    }

    private static void Isolate(Regex regex, string text, List<string> pieces, bool keepMatch)
    {
        int at = 0;
        foreach (Match match in regex.Matches(text))
        {
            if (match.Length == 0) continue;
            if (match.Index > at) pieces.Add(text[at..match.Index]);
            if (keepMatch) pieces.Add(match.Value);
            at = match.Index + match.Length;
        }
        if (at < text.Length) pieces.Add(text[at..]);
    }
}
