using System.Text.RegularExpressions;

namespace CudaLora.Lora;

/// <summary>What happens to text before it is split: a chain of steps, as in tokenizer.json's normalizer.</summary>
internal sealed class Normalizer(params Func<string, string>[] steps)
{
    public static readonly Normalizer None = new();

    public bool IsNone => steps.Length == 0;

    public string Apply(string text)
    {
        foreach (var step in steps) text = step(text);
        return text;
    }

    /// <summary>SentencePiece's own: an optional blank in front, blanks written as U+2581.</summary>
    public static Normalizer SentencePiece(bool prefixBlank, bool squeezeBlanks)
    {
        var steps = new List<Func<string, string>>();
        if (squeezeBlanks) steps.Add(text => Regex.Replace(text.Trim(' '), " {2,}", " "));
        if (prefixBlank) steps.Add(text => text.Length == 0 ? text : " " + text);
        steps.Add(text => text.Replace(' ', Metaspace));
        return new Normalizer([.. steps]);
    }

    /// <summary>The character SentencePiece writes for a blank.</summary>
    public const char Metaspace = '\u2581';

    public static Normalizer Read(JsonAt json)
    {
        var steps = new List<Func<string, string>>();
        Collect(json, steps);
        return steps.Count == 0 ? None : new Normalizer([.. steps]);
    }

    private static void Collect(JsonAt json, List<Func<string, string>> steps)
    {
        if (json.IsNull) return;
        switch (json.Get("type").Text())
        {
            case "Sequence":
                foreach (var item in json.Get("normalizers").Items()) Collect(item, steps);
                break;
            case "Prepend":
                string prefix = json.Get("prepend").Text();
                steps.Add(text => text.Length == 0 ? text : prefix + text);
                break;
            case "Replace":
                steps.Add(Replacement(json));
                break;
            case "NFC":
                steps.Add(Nfc.Compose);
                break;
            case "Lowercase":
                steps.Add(text => text.ToLowerInvariant());
                break;
            case "Strip":
                bool left = json.Get("strip_left").Bool(true), right = json.Get("strip_right").Bool(true);
                steps.Add(text => left ? right ? text.Trim() : text.TrimStart() : right ? text.TrimEnd() : text);
                break;
            default:
                throw json.Get("type").Error("Sequence, Prepend, Replace, NFC, Lowercase or Strip");
        }
    }

    /// <summary>A Replace step, with a plain or a regular-expression pattern.</summary>
    public static Func<string, string> Replacement(JsonAt json)
    {
        string content = json.Get("content").Text();
        var pattern = json.Get("pattern");
        var plain = pattern.Get("String");
        if (!plain.IsNull)
        {
            string find = plain.Text();
            if (find.Length == 0) throw plain.Error("a string that is not empty");
            return text => text.Replace(find, content, StringComparison.Ordinal);
        }
        var regex = PreTokenizer.Compile(pattern.Get("Regex"));
        return text => regex.Replace(text, content.Replace("$", "$$", StringComparison.Ordinal));
    }
}
