using System.Buffers;
using System.Globalization;
using System.Text;

namespace CudaLora.Lora;

/// <summary>
/// The pre-tokenising regular expressions of GPT-2, Qwen2 and Llama-3, written out by hand. .NET's regular expressions
/// see UTF-16 halves, so \p{L} would miss letters outside the basic plane; this walks whole code points, and faster.
/// </summary>
internal sealed class GptSplit
{
    private const string ModernHead = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|";
    private const string ModernTail = @"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    public const string Gpt2Pattern =
        @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
    public const string Qwen2Pattern =
        ModernHead + @"\p{N}" + ModernTail;
    public const string Llama3Pattern =
        ModernHead + @"\p{N}{1,3}" + ModernTail;

    public static readonly GptSplit Gpt2 = new(modern: false, digits: int.MaxValue);
    public static readonly GptSplit Qwen2 = new(modern: true, digits: 1);
    public static readonly GptSplit Llama3 = new(modern: true, digits: 3);

    private enum Kind { End, Space, Letter, Number, Other }

    private readonly bool _modern;
    private readonly int _digits;

    private GptSplit(bool modern, int digits) => (_modern, _digits) = (modern, digits);

    /// <summary>The hand-written form of a pattern, or null if it is another one.</summary>
    public static GptSplit? For(string pattern) => pattern switch
    {
        Gpt2Pattern => Gpt2,
        Qwen2Pattern => Qwen2,
        Llama3Pattern => Llama3,
        _ => null,
    };

    /// <summary>The end of the piece that begins at <paramref name="at"/>; every character belongs to a
    /// piece.</summary>
    public int Next(ReadOnlySpan<char> text, int at)
    {
        int contraction = Contraction(text[at..]);
        if (contraction > 0) return at + contraction;
        return _modern ? NextModern(text, at) : NextGpt2(text, at);
    }

    private static int NextGpt2(ReadOnlySpan<char> text, int at)
    {
        int body = text[at] == ' ' ? at + 1 : at;
        var kind = KindAt(text, body, out _);
        return kind is Kind.Letter or Kind.Number or Kind.Other ? Run(text, body, kind) : Space(text, at);
    }

    private int NextModern(ReadOnlySpan<char> text, int at)
    {
        var kind = KindAt(text, at, out int width);
        if (kind == Kind.Letter) return Run(text, at, Kind.Letter);
        if (kind == Kind.Number) return Run(text, at, Kind.Number, _digits);
        if (text[at] is not ('\r' or '\n') && KindAt(text, at + width, out _) == Kind.Letter)
            return Run(text, at + width, Kind.Letter);
        int body = text[at] == ' ' ? at + 1 : at;
        if (KindAt(text, body, out _) == Kind.Other)
        {
            int end = Run(text, body, Kind.Other);
            while (end < text.Length && text[end] is '\r' or '\n') end++;
            return end;
        }
        int last = text[at..Run(text, at, Kind.Space)].LastIndexOfAny('\r', '\n');
        return last >= 0 ? at + last + 1 : Space(text, at);
    }

    // \s+(?!\S)|\s+ : all of the white space at the end of the text; elsewhere the last one goes with what follows.
    private static int Space(ReadOnlySpan<char> text, int at)
    {
        int end = Run(text, at, Kind.Space);
        return end == text.Length || end - at == 1 ? end : end - 1;
    }

    private static int Run(ReadOnlySpan<char> text, int at, Kind kind, int most = int.MaxValue)
    {
        while (most-- > 0 && KindAt(text, at, out int width) == kind) at += width;
        return at;
    }

    private int Contraction(ReadOnlySpan<char> text)
    {
        if (text.Length < 2 || text[0] != '\'') return 0;
        char a = Fold(text[1]);
        if (a is 's' or 't' or 'm' or 'd') return 2;
        if (text.Length < 3) return 0;
        return (a, Fold(text[2])) is ('r', 'e') or ('v', 'e') or ('l', 'l') ? 3 : 0;
    }

    private char Fold(char c) => _modern ? char.ToLowerInvariant(c) : c;

    private static Kind KindAt(ReadOnlySpan<char> text, int at, out int width)
    {
        width = 1;
        if (at >= text.Length) return Kind.End;
        char c = text[at];
        if (char.IsAscii(c))
        {
            if (char.IsAsciiLetter(c)) return Kind.Letter;
            if (char.IsAsciiDigit(c)) return Kind.Number;
            return c is ' ' or >= '\t' and <= '\r' ? Kind.Space : Kind.Other;
        }
        if (char.IsWhiteSpace(c)) return Kind.Space;
        if (Rune.DecodeFromUtf16(text[at..], out var rune, out width) != OperationStatus.Done) return Kind.Other;
        return Rune.GetUnicodeCategory(rune) switch
        {
            <= UnicodeCategory.OtherLetter => Kind.Letter,
            UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber =>
                Kind.Number,
            _ => Kind.Other,
        };
    }
}
