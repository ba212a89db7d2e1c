using System.Buffers;
using System.Text;

namespace CudaLora.Lora;

/// <summary>A token that is matched as a whole before the text is split, as in tokenizer.json's added_tokens.</summary>
/// <param name="Id">The token's id.</param>
/// <param name="Content">The text that stands for it.</param>
/// <param name="Special">True for markers such as end of text: hidden by <c>skipSpecial</c>, refused by
/// <c>allowSpecial: false</c>.</param>
/// <param name="LStrip">Takes the white space before it along.</param>
/// <param name="RStrip">Takes the white space after it along.</param>
/// <param name="Normalized">Matched after normalisation (its own content normalised as well), not before.</param>
/// <param name="SingleWord">Matches only between word boundaries.</param>
public sealed record AddedToken(int Id, string Content, bool Special, bool LStrip = false, bool RStrip = false,
    bool Normalized = false, bool SingleWord = false);

/// <summary>Finds added tokens in text: leftmost, then longest.</summary>
internal sealed class AddedTokens
{
    private readonly Dictionary<char, (string Text, AddedToken Token)[]> _byFirst;
    private readonly SearchValues<char> _firsts;

    /// <param name="tokens">The tokens to look for.</param>
    /// <param name="normalise">Applied to each content before matching; null to match the content as written.</param>
    public AddedTokens(IEnumerable<AddedToken> tokens, Func<string, string>? normalise)
    {
        _byFirst = tokens
            .Select(token => (Text: normalise?.Invoke(token.Content) ?? token.Content, Token: token))
            .Where(entry => entry.Text.Length > 0)
            .GroupBy(entry => entry.Text[0])
            .ToDictionary(group => group.Key, group => group.OrderByDescending(entry => entry.Text.Length).ToArray());
        _firsts = SearchValues.Create(_byFirst.Keys.ToArray());
    }

    /// <summary>
    /// The next match at or after <paramref name="from"/>. <paramref name="start"/>..<paramref name="end"/> is the text
    /// it takes, stripped white space included.
    /// </summary>
    public AddedToken? Next(ReadOnlySpan<char> text, int from, bool allowSpecial, out int start, out int end)
    {
        for (int at = from; at < text.Length; at++)
        {
            int step = text[at..].IndexOfAny(_firsts);
            if (step < 0) break;
            at += step;
            foreach (var (content, token) in _byFirst[text[at]])
            {
                if (token.Special && !allowSpecial) continue;
                if (!text[at..].StartsWith(content, StringComparison.Ordinal)) continue;
                start = at;
                end = at + content.Length;
                if (token.SingleWord && (EndsWithWord(text[..start]) || StartsWithWord(text[end..]))) continue;
                if (token.LStrip) while (start > from && char.IsWhiteSpace(text[start - 1])) start--;
                if (token.RStrip) while (end < text.Length && char.IsWhiteSpace(text[end])) end++;
                return token;
            }
        }
        start = end = text.Length;
        return null;
    }

    private static bool EndsWithWord(ReadOnlySpan<char> text) =>
        Rune.DecodeLastFromUtf16(text, out var rune, out _) == OperationStatus.Done && IsWord(rune);

    private static bool StartsWithWord(ReadOnlySpan<char> text) =>
        Rune.DecodeFromUtf16(text, out var rune, out _) == OperationStatus.Done && IsWord(rune);

    private static bool IsWord(Rune rune) => Rune.IsLetterOrDigit(rune) || rune.Value == '_';
}
