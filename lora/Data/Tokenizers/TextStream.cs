using System.Text;

namespace CudaLora.Lora;

/// <summary>
/// Decodes ids one at a time, as they are generated. A character whose bytes are spread over several tokens comes out
/// when its last byte has arrived; joined together, the parts equal
/// <see cref="Tokenizer.Decode(ReadOnlySpan{int}, bool)"/> of all ids.
/// </summary>
public sealed class TextStream
{
    private readonly Tokenizer _tokenizer;
    private readonly bool _skipSpecial;
    private readonly Decoder _utf8 = Encoding.UTF8.GetDecoder();
    private bool _atStart;

    internal TextStream(Tokenizer tokenizer, bool skipSpecial, bool continues)
    {
        _tokenizer = tokenizer;
        _skipSpecial = skipSpecial;
        _atStart = !continues && tokenizer.StripsFirstBlank;
    }

    /// <summary>The text that this id completes; often empty in the middle of a character.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The id is not in the vocabulary.</exception>
    public string Append(int id)
    {
        if (_skipSpecial && _tokenizer.IsSpecial(id)) return "";
        var bytes = _tokenizer.BytesOf(id);
        if (bytes.IsEmpty) return "";
        if (_atStart && bytes[0] == ' ') bytes = bytes[1..];
        _atStart = false;
        return Chars(bytes, flush: false);
    }

    /// <summary>What is left of an unfinished character at the end: U+FFFD, or nothing.</summary>
    public string Finish() => Chars([], flush: true);

    private string Chars(ReadOnlySpan<byte> bytes, bool flush)
    {
        var chars = new char[_utf8.GetCharCount(bytes, flush)];
        int count = _utf8.GetChars(bytes, chars, flush);
        return new string(chars, 0, count);
    }
}
