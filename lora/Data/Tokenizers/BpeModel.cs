using System.Collections.Concurrent;
using System.Text;

namespace CudaLora.Lora;

/// <summary>How text outside the vocabulary's characters is written.</summary>
internal enum BpeAlphabet
{
    /// <summary>Every symbol is one of 256 bytes in GPT-2's alphabet (<see cref="ByteAlphabet"/>).</summary>
    Bytes,

    /// <summary>Symbols are characters; those not in the vocabulary become &lt;0xNN&gt; bytes, or the unknown
    /// token.</summary>
    Characters,
}

/// <summary>
/// Byte-pair encoding (Sennrich et al. 2016): starting from single symbols, always merge the adjacent pair of the
/// lowest rank, the leftmost of equals. Results for short pieces are cached. Safe for use from several threads.
/// </summary>
internal sealed class BpeModel
{
    private const int CachedLength = 48;
    private const int CachedPieces = 1 << 16;

    private readonly string[] _tokens;
    private readonly Dictionary<string, int> _ids;
    private readonly Dictionary<long, (int Rank, int Id)> _merges;
    private readonly int[] _byteIds = new int[256];
    private readonly int _unknown;
    private readonly bool _fuseUnknown, _wholeWords;
    private readonly HashSet<int>? _joined;
    private readonly ConcurrentDictionary<string, int[]> _cache = new(StringComparer.Ordinal);

    /// <param name="tokens">Token text by id; null where an id is unused.</param>
    /// <param name="merges">(left id, right id) to rank and merged id; key is left * 2^32 + right.</param>
    /// <param name="alphabet">Bytes or characters.</param>
    /// <param name="unknown">Id of the unknown token, or -1.</param>
    /// <param name="fuseUnknown">Neighbouring unknowns become one.</param>
    /// <param name="wholeWords">A piece that is itself a token is not merged from its parts (ignore_merges).</param>
    /// <param name="byteFallback">Use &lt;0xNN&gt; tokens for characters that are not in the vocabulary.</param>
    public BpeModel(string?[] tokens, Dictionary<long, (int Rank, int Id)> merges, BpeAlphabet alphabet, int unknown,
        bool fuseUnknown, bool wholeWords, bool byteFallback)
    {
        Alphabet = alphabet;
        _tokens = tokens.Select(token => token ?? "").ToArray();
        _ids = new Dictionary<string, int>(_tokens.Length, StringComparer.Ordinal);
        for (int id = 0; id < tokens.Length; id++) if (tokens[id] is { } token) _ids.TryAdd(token, id);
        _merges = merges;
        _unknown = unknown;
        _fuseUnknown = fuseUnknown;
        _wholeWords = wholeWords;
        for (int b = 0; b < 256; b++)
        {
            string name = alphabet == BpeAlphabet.Bytes ? ByteAlphabet.CharOf((byte)b).ToString() : $"<0x{b:X2}>";
            bool used = alphabet == BpeAlphabet.Bytes || byteFallback;
            _byteIds[b] = used && _ids.TryGetValue(name, out int id) ? id : -1;
        }
        if (alphabet == BpeAlphabet.Characters) _joined = JoinedPairs(merges.Values.Select(merge => _tokens[merge.Id]));
    }

    public BpeAlphabet Alphabet { get; }

    public IReadOnlyList<string> Tokens => _tokens;

    public bool TryGetId(string token, out int id) => _ids.TryGetValue(token, out id);

    /// <summary>The byte a &lt;0xNN&gt; token stands for, or -1.</summary>
    public static int FallbackByte(string token) =>
        token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
        && byte.TryParse(token.AsSpan(3, 2), System.Globalization.NumberStyles.HexNumber, null, out byte value)
            ? value
            : -1;

    public void Encode(ReadOnlySpan<char> piece, List<int> output)
    {
        if (_joined == null)
        {
            EncodeCached(piece, output);
            return;
        }
        // No merge crosses two characters that are neighbours in no token, so such places are safe to cut at.
        int start = 0;
        for (int i = 1; i < piece.Length; i++)
        {
            if (char.IsSurrogate(piece[i]) || _joined.Contains(Pair(piece[i - 1], piece[i]))) continue;
            if (_fuseUnknown && !_ids.GetAlternateLookup<ReadOnlySpan<char>>().ContainsKey(piece.Slice(i, 1))) continue;
            EncodeCached(piece[start..i], output);
            start = i;
        }
        EncodeCached(piece[start..], output);
    }

    private void EncodeCached(ReadOnlySpan<char> piece, List<int> output)
    {
        if (piece.IsEmpty) return;
        if (piece.Length > CachedLength)
        {
            output.AddRange(Merge(piece));
            return;
        }
        var lookup = _cache.GetAlternateLookup<ReadOnlySpan<char>>();
        if (!lookup.TryGetValue(piece, out var ids))
        {
            ids = Merge(piece);
            if (_cache.Count < CachedPieces) lookup.TryAdd(piece, ids);
        }
        output.AddRange(ids);
    }

    private int[] Merge(ReadOnlySpan<char> piece)
    {
        if (_wholeWords && TryWhole(piece, out int whole)) return [whole];
        var symbols = new List<int>(piece.Length);
        if (Alphabet == BpeAlphabet.Bytes) AddBytes(piece, symbols);
        else AddCharacters(piece, symbols);
        return BpeMerger.Run(_merges, symbols);
    }

    private bool TryWhole(ReadOnlySpan<char> piece, out int id)
    {
        if (Alphabet == BpeAlphabet.Characters) return _ids.TryGetValue(piece.ToString(), out id);
        var bytes = Encoding.UTF8.GetBytes(piece.ToString());
        return _ids.TryGetValue(string.Create(bytes.Length, bytes, (span, from) =>
        {
            for (int i = 0; i < span.Length; i++) span[i] = ByteAlphabet.CharOf(from[i]);
        }), out id);
    }

    private void AddBytes(ReadOnlySpan<char> text, List<int> symbols)
    {
        Span<byte> bytes = stackalloc byte[256];
        while (!text.IsEmpty)
        {
            Encoding.UTF8.GetEncoder().Convert(text, bytes, true, out int chars, out int written, out _);
            foreach (byte b in bytes[..written])
            {
                if (_byteIds[b] >= 0) symbols.Add(_byteIds[b]);
                else AddUnknown(symbols);
            }
            text = text[chars..];
        }
    }

    private void AddCharacters(ReadOnlySpan<char> text, List<int> symbols)
    {
        var lookup = _ids.GetAlternateLookup<ReadOnlySpan<char>>();
        Span<byte> bytes = stackalloc byte[4];
        while (!text.IsEmpty)
        {
            Rune.DecodeFromUtf16(text, out var rune, out int width);
            if (lookup.TryGetValue(text[..width], out int id)) symbols.Add(id);
            else
            {
                var encoded = bytes[..rune.EncodeToUtf8(bytes)];
                if (encoded.ToArray().All(b => _byteIds[b] >= 0)) foreach (byte b in encoded) symbols.Add(_byteIds[b]);
                else AddUnknown(symbols);
            }
            text = text[width..];
        }
    }

    private void AddUnknown(List<int> symbols)
    {
        if (_unknown < 0 || (_fuseUnknown && symbols.Count > 0 && symbols[^1] == _unknown)) return;
        symbols.Add(_unknown);
    }

    private static HashSet<int> JoinedPairs(IEnumerable<string> tokens)
    {
        var pairs = new HashSet<int>();
        foreach (string token in tokens) for (int i = 1; i < token.Length; i++) pairs.Add(Pair(token[i - 1], token[i]));
        return pairs;
    }

    private static int Pair(char a, char b) => (a << 16) | b;
}
