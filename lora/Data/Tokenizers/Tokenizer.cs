using System.Text;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Text to token ids and back, with the ids the original (Hugging Face or SentencePiece) tokenizer gives. Reads
/// byte-level BPE (GPT-2, Qwen, Llama-3) and SentencePiece-style BPE (Llama-2, Mistral). Safe for use from several
/// threads.
/// </summary>
public sealed class Tokenizer
{
    private readonly TokenizerParts _parts;
    private readonly AddedTokens _rawTokens, _normalizedTokens;
    private readonly Dictionary<int, AddedToken> _addedById;
    private readonly byte[]?[] _bytes;

    internal Tokenizer(TokenizerParts parts)
    {
        _parts = parts;
        _rawTokens = new AddedTokens(parts.Added.Where(token => !token.Normalized), null);
        _normalizedTokens = new AddedTokens(parts.Added.Where(token => token.Normalized), parts.Normalizer.Apply);
        _addedById = parts.Added.DistinctBy(token => token.Id).ToDictionary(token => token.Id);
        int afterAdded = parts.Added.Select(token => token.Id + 1).DefaultIfEmpty().Max();
        VocabSize = Math.Max(parts.Model.Tokens.Count, afterAdded);
        _bytes = new byte[]?[VocabSize];
    }

    /// <summary>One more than the largest id. The model's vocab_size may be larger (padded), never smaller.</summary>
    public int VocabSize { get; }

    /// <summary>Begin-of-text id, if the tokenizer has one.</summary>
    public int? BosId => _parts.Bos;

    /// <summary>End-of-text id, if the tokenizer has one.</summary>
    public int? EosId => _parts.Eos;

    /// <summary>Padding id, if the tokenizer has one.</summary>
    public int? PadId => _parts.Pad;

    /// <summary>Unknown-token id, if the tokenizer has one.</summary>
    public int? UnkId => _parts.Unk;

    /// <summary>The Jinja chat template of tokenizer_config.json or chat_template.jinja; see <see
    /// cref="Lora.ChatTemplate"/>.</summary>
    public string? ChatTemplate => _parts.ChatTemplate;

    /// <summary>Tokens matched as a whole, special ones among them.</summary>
    public IReadOnlyList<AddedToken> AddedTokens => _parts.Added;

    internal bool StripsFirstBlank => _parts.StripsFirstBlank;

    /// <summary>Ids that <c>addSpecialTokens</c> puts in front (usually begin-of-text, or none).</summary>
    public ReadOnlySpan<int> Prefix => _parts.Prefix;

    /// <summary>
    /// Loads from a model folder (tokenizer.json, else tokenizer.model, else vocab.json with merges.txt; with
    /// tokenizer_config.json, special_tokens_map.json, added_tokens.json and chat_template.jinja where present), or
    /// from one of those files.
    /// </summary>
    /// <exception cref="UserErrorException">There is no tokenizer at the path, or a file is malformed or asks for
    /// something unsupported; the message is one line that names file and field.</exception>
    public static Tokenizer Load(string path) => new(TokenizerFiles.Read(path));

    /// <summary>Encodes text.</summary>
    /// <param name="text">Any text.</param>
    /// <param name="addSpecialTokens">Put the begin (and end) tokens around it that this tokenizer's files ask
    /// for.</param>
    /// <param name="allowSpecial">Read special tokens written out in the text as such; false treats them as plain
    /// text.</param>
    public int[] Encode(string text, bool addSpecialTokens = true, bool allowSpecial = true)
    {
        var ids = new List<int>(text.Length / 3 + 4);
        Encode(text, ids, addSpecialTokens, allowSpecial);
        return [.. ids];
    }

    /// <summary>Encodes text, appending to <paramref name="ids"/>.</summary>
    public void Encode(string text, List<int> ids, bool addSpecialTokens = true, bool allowSpecial = true)
    {
        if (addSpecialTokens) ids.AddRange(_parts.Prefix);
        for (int at = 0; at < text.Length;)
        {
            var token = _rawTokens.Next(text, at, allowSpecial, out int start, out int end);
            if (start > at) EncodeNormalized(_parts.Normalizer.Apply(text[at..start]), at == 0, ids, allowSpecial);
            if (token != null) ids.Add(token.Id);
            at = end;
        }
        if (addSpecialTokens) ids.AddRange(_parts.Suffix);
    }

    private void EncodeNormalized(string text, bool atStart, List<int> ids, bool allowSpecial)
    {
        for (int at = 0; at < text.Length;)
        {
            var token = _normalizedTokens.Next(text, at, allowSpecial, out int start, out int end);
            if (start > at) _parts.PreTokenizer.Encode(text[at..start], atStart && at == 0, _parts.Model, ids);
            if (token != null) ids.Add(token.Id);
            at = end;
        }
    }

    /// <summary>Decodes ids. Bytes that are not UTF-8 become U+FFFD.</summary>
    /// <param name="ids">Token ids.</param>
    /// <param name="skipSpecial">Leave special tokens out of the text.</param>
    /// <exception cref="ArgumentOutOfRangeException">An id is not in the vocabulary.</exception>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecial = false)
    {
        var text = new StringBuilder();
        var stream = Stream(skipSpecial);
        foreach (int id in ids) text.Append(stream.Append(id));
        return text.Append(stream.Finish()).ToString();
    }

    /// <summary>Decodes the ids of a <see cref="Continuation"/>; as above.</summary>
    public string Decode(IReadOnlyList<int> ids, bool skipSpecial = false) =>
        Decode((ReadOnlySpan<int>)[.. ids], skipSpecial);

    /// <summary>Starts decoding ids one at a time.</summary>
    /// <param name="skipSpecial">Leave special tokens out.</param>
    /// <param name="continues">True when the ids go on after a prompt: then the blank that SentencePiece puts in front
    /// of the first word is a real one and stays.</param>
    public TextStream Stream(bool skipSpecial = true, bool continues = false) => new(this, skipSpecial, continues);

    /// <summary>Finds the id of a token as it is written in the vocabulary or among the added tokens.</summary>
    public bool TryGetId(string token, out int id)
    {
        if (_parts.Added.FirstOrDefault(added => added.Content == token) is not { } found)
            return _parts.Model.TryGetId(token, out id);
        id = found.Id;
        return true;
    }

    /// <summary>The token as it is written in the vocabulary (byte-level alphabet or U+2581 blanks included).</summary>
    public string TokenOf(int id) =>
        _addedById.TryGetValue(Check(id), out var token) ? token.Content
        : id < _parts.Model.Tokens.Count ? _parts.Model.Tokens[id] : "";

    /// <summary>True for special tokens (begin, end, padding, role markers).</summary>
    public bool IsSpecial(int id) => _addedById.TryGetValue(id, out var token) && token.Special;

    /// <summary>
    /// Copies the tokenizer's files, as they were loaded, into a folder. Each is written beside and renamed, so an
    /// interrupted copy leaves the old file.
    /// </summary>
    public void Save(string folder)
    {
        Directory.CreateDirectory(folder);
        foreach (string file in _parts.Files)
        {
            string target = Path.Combine(folder, Path.GetFileName(file));
            if (Path.GetFullPath(target) == Path.GetFullPath(file)) continue;
            using var source = TextFile.Open(file);
            AtomicFile.Write(target, source.CopyTo);
        }
    }

    internal ReadOnlySpan<byte> BytesOf(int id) => _bytes[Check(id)] ??= MakeBytes(id);

    private byte[] MakeBytes(int id)
    {
        if (_addedById.TryGetValue(id, out var added)) return Encoding.UTF8.GetBytes(added.Content);
        string token = TokenOf(id);
        if (_parts.Model.Alphabet == BpeAlphabet.Bytes)
            return token.All(c => ByteAlphabet.ByteOf(c) >= 0)
                ? token.Select(c => (byte)ByteAlphabet.ByteOf(c)).ToArray()
                : Encoding.UTF8.GetBytes(token);
        int fallback = BpeModel.FallbackByte(token);
        return fallback >= 0 ? [(byte)fallback] : Encoding.UTF8.GetBytes(token.Replace(Normalizer.Metaspace, ' '));
    }

    private int Check(int id) => (uint)id < (uint)VocabSize
        ? id
        : throw new ArgumentOutOfRangeException(nameof(id),
            $"[tokenizer] id must be 0 to {VocabSize - 1}, but got {id}");
}
