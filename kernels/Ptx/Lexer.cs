using System.Globalization;

namespace CudaLora.Kernels.Ptx;

internal enum TokenKind
{
    Word, Integer, Float32, Float64, Text, Symbol, End,
}

/// <summary>One token. <see cref="Bits"/> holds an integer's value or a float literal's bit pattern.</summary>
internal readonly record struct Token(TokenKind Kind, string Text, ulong Bits, int Line, int Column, bool SpaceBefore)
{
    public bool Is(string text) => (Kind is TokenKind.Word or TokenKind.Symbol) && Text == text;
}

/// <summary>Splits PTX text into tokens. A dotted name with its suffixes is one word.</summary>
internal sealed class Lexer(string text, string file)
{
    private int _at;
    private int _line = 1;
    private int _lineStart;

    public static List<Token> Run(string text, string file)
    {
        var lexer = new Lexer(text, file);
        var tokens = new List<Token>(text.Length / 4);
        while (true)
        {
            Token token = lexer.Next();
            tokens.Add(token);
            if (token.Kind == TokenKind.End) return tokens;
        }
    }

    private char Peek(int ahead = 0) => _at + ahead < text.Length ? text[_at + ahead] : '\0';

    private PtxException Error(string problem, string offending) =>
        new(file, _line, _at - _lineStart + 1, problem, offending);

    private Token Next()
    {
        int before = _at;
        SkipBlank();
        bool space = _at > before || _at == 0;
        int start = _at, column = _at - _lineStart + 1;
        char c = Peek();
        if (c == '\0') return new Token(TokenKind.End, "end of file", 0, _line, column, space);
        if (char.IsAsciiDigit(c)) return Number(start, column, space);
        if (IsWordStart(c) || (c == '.' && IsWordStart(Peek(1))))
        {
            _at++;
            while (true)
            {
                if (IsWordPart(Peek())) _at++;
                else if (Peek() == '.' && IsWordPart(Peek(1))) _at += 2;
                else if (Peek() == ':' && Peek(1) == ':') _at += 2;
                else break;
            }
            return new Token(TokenKind.Word, text[start.._at], 0, _line, column, space);
        }
        if (c == '"')
        {
            int end = text.IndexOf('"', _at + 1);
            int newline = text.IndexOf('\n', _at + 1);
            if (end < 0 || (newline >= 0 && newline < end)) throw Error("the string has no end", "\"");
            _at = end + 1;
            return new Token(TokenKind.Text, text[(start + 1)..end], 0, _line, column, space);
        }
        if ((c == '<' && Peek(1) == '<') || (c == '>' && Peek(1) == '>')) _at++;
        else if (!"{}[](),;:+-*/%!~|&^<>=@?".Contains(c)) throw Error("unexpected character", c.ToString());
        _at++;
        return new Token(TokenKind.Symbol, text[start.._at], 0, _line, column, space);
    }

    private static bool IsWordStart(char c) => char.IsAsciiLetter(c) || c is '_' or '$' or '%';

    private static bool IsWordPart(char c) => char.IsAsciiLetterOrDigit(c) || c is '_' or '$';

    private void SkipBlank()
    {
        while (_at < text.Length)
        {
            char c = text[_at];
            if (c == '\n')
            {
                _line++;
                _lineStart = ++_at;
            }
            else if (char.IsWhiteSpace(c))
            {
                _at++;
            }
            else if (c == '/' && Peek(1) == '/')
            {
                while (_at < text.Length && text[_at] != '\n') _at++;
            }
            else if (c == '/' && Peek(1) == '*')
            {
                int end = text.IndexOf("*/", _at + 2, StringComparison.Ordinal);
                if (end < 0) throw Error("the comment has no end", "/*");
                for (; _at < end + 2; _at++)
                {
                    if (text[_at] != '\n') continue;
                    _line++;
                    _lineStart = _at + 1;
                }
            }
            else
            {
                return;
            }
        }
    }

    private Token Number(int start, int column, bool space)
    {
        char next = Peek(1);
        if (Peek() == '0' && next is 'f' or 'F') return HexFloat(start, column, space, 8, TokenKind.Float32);
        if (Peek() == '0' && next is 'd' or 'D') return HexFloat(start, column, space, 16, TokenKind.Float64);
        int numberBase = 10;
        if (Peek() == '0' && next is 'x' or 'X') numberBase = 16;
        else if (Peek() == '0' && next is 'b' or 'B') numberBase = 2;
        else if (Peek() == '0' && char.IsAsciiDigit(next)) numberBase = 8;
        if (numberBase is 16 or 2) _at += 2;
        int digits = _at;
        while (numberBase == 16 ? char.IsAsciiHexDigit(Peek()) : char.IsAsciiDigit(Peek())) _at++;
        bool isFloat = numberBase != 16
            && ((Peek() == '.' && char.IsAsciiDigit(Peek(1))) || Peek() is 'e' or 'E' or '.');
        if (isFloat)
        {
            if (Peek() == '.') _at++;
            while (char.IsAsciiDigit(Peek())) _at++;
            if (Peek() is 'e' or 'E')
            {
                _at++;
                if (Peek() is '+' or '-') _at++;
                while (char.IsAsciiDigit(Peek())) _at++;
            }
            string body = text[start.._at];
            if (!double.TryParse(body, NumberStyles.Float, CultureInfo.InvariantCulture, out double value))
                throw Error("not a number", body);
            return new Token(TokenKind.Float64, body, BitConverter.DoubleToUInt64Bits(value), _line, column, space);
        }
        ulong bits = 0;
        string digitText = text[digits.._at];
        if (digitText.Length == 0) throw Error("a number needs digits", text[start.._at]);
        foreach (char c in digitText)
        {
            int digit = Convert.ToInt32(c.ToString(), 16);
            if (digit >= numberBase) throw Error("digit outside the number's base", digitText);
            UInt128 grown = ((UInt128)bits * (uint)numberBase) + (uint)digit;
            if (grown > ulong.MaxValue) throw Error("the number does not fit in 64 bits", digitText);
            bits = (ulong)grown;
        }
        if (Peek() == 'U') _at++;
        if (IsWordPart(Peek())) throw Error("unexpected character in a number", text[start..(_at + 1)]);
        return new Token(TokenKind.Integer, text[start.._at], bits, _line, column, space);
    }

    private Token HexFloat(int start, int column, bool space, int length, TokenKind kind)
    {
        _at += 2;
        int digits = _at;
        while (char.IsAsciiHexDigit(Peek())) _at++;
        if (_at - digits != length) throw Error($"a hex float of this kind has {length} digits", text[start.._at]);
        ulong bits = ulong.Parse(text.AsSpan(digits, length), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        return new Token(kind, text[start.._at], bits, _line, column, space);
    }
}
