using System.Text.Json;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Reads Hugging Face's tokenizer.json with a BPE model.</summary>
internal static class TokenizerJson
{
    // Far above any real vocabulary; a hostile id would otherwise choose the size of our tables.
    public const int MostTokens = 1 << 24;

    public static TokenizerParts Read(string file)
    {
        var json = JsonAt.Load(file);
        var model = json.Get("model");
        var type = model.Get("type");
        if (!type.IsNull && type.Text() != "BPE") throw type.Error("BPE");
        bool bytes = Uses(json.Get("pre_tokenizer"), "ByteLevel") || Uses(json.Get("decoder"), "ByteLevel");
        var added = json.Get("added_tokens").Items()
            .Select(token => TokenizerConfig.ReadToken(token, CheckedId(token.Get("id")))).ToArray();
        var bpe = ReadModel(model, bytes ? BpeAlphabet.Bytes : BpeAlphabet.Characters);
        var parts = new TokenizerParts(bpe)
        {
            Normalizer = Normalizer.Read(json.Get("normalizer")),
            PreTokenizer = PreTokenizer.Read(json.Get("pre_tokenizer")),
            Added = added,
            StripsFirstBlank = Strips(json.Get("decoder")),
        };
        parts = parts with { Unk = parts.IdOf(model.Get("unk_token").TextOrNull()) };
        var (prefix, suffix) = Template(json.Get("post_processor"), parts);
        return parts with { Prefix = prefix, Suffix = suffix };
    }

    private static BpeModel ReadModel(JsonAt model, BpeAlphabet alphabet)
    {
        foreach (string affix in (string[])["continuing_subword_prefix", "end_of_word_suffix"])
            if (model.Get(affix).TextOrNull() is { Length: > 0 }) throw model.Get(affix).Error("empty");
        var vocab = model.Get("vocab");
        if (vocab.Kind != JsonValueKind.Object) throw vocab.Error("an object of tokens and ids");
        var ids = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var (name, value) in vocab.Members()) ids[name] = CheckedId(value);
        var merges = new Dictionary<long, (int, int)>();
        int rank = 0;
        foreach (var merge in model.Get("merges").Items())
        {
            var (left, right) = Sides(merge);
            AddMerge(ids, merges, left, right, rank++, merge.File, merge.Path);
        }
        string? unknown = model.Get("unk_token").TextOrNull();
        return new BpeModel(ByIds(ids), merges, alphabet,
            unknown != null && ids.TryGetValue(unknown, out int id) ? id : -1,
            model.Get("fuse_unk").Bool(false), model.Get("ignore_merges").Bool(false),
            model.Get("byte_fallback").Bool(false));
    }

    public static int CheckedId(JsonAt value) =>
        value.Int() is >= 0 and < MostTokens and int id ? id : throw value.Error($"an id from 0 to {MostTokens - 1}");

    public static string?[] ByIds(Dictionary<string, int> ids)
    {
        var tokens = new string?[ids.Count == 0 ? 0 : ids.Values.Max() + 1];
        foreach (var (token, id) in ids) tokens[id] = token;
        return tokens;
    }

    public static void AddMerge(Dictionary<string, int> ids, Dictionary<long, (int, int)> merges, string left,
        string right,
        int rank, string file, string place)
    {
        foreach (string token in (string[])[left, right, left + right])
            if (!ids.ContainsKey(token))
                throw new UserErrorException(
                    $"{file}: {place} must join tokens of the vocabulary, but \"{token}\" is none");
        merges.TryAdd(BpeMerger.Key(ids[left], ids[right]), (rank, ids[left + right]));
    }

    // "a b" in older files, ["a", "b"] in newer ones.
    private static (string, string) Sides(JsonAt merge)
    {
        var sides = merge.Kind == JsonValueKind.Array
            ? merge.Items().Select(side => side.Text()).ToArray()
            : merge.Text().Split(' ');
        return sides is [{ Length: > 0 } left, { Length: > 0 } right] ? (left, right) : throw merge.Error("two tokens");
    }

    private static bool Uses(JsonAt json, string type)
    {
        if (json.Kind == JsonValueKind.Array) return json.Items().Any(item => Uses(item, type));
        return json.Kind == JsonValueKind.Object
            && (json.Get("type").TextOrNull() == type || Uses(json.Get("pretokenizers"), type)
                || Uses(json.Get("decoders"), type));
    }

    private static bool Strips(JsonAt decoder)
    {
        if (decoder.IsNull) return false;
        var type = decoder.Get("type");
        switch (type.Text())
        {
            case "Sequence":
                return decoder.Get("decoders").Items().ToArray().Aggregate(false, (any, item) => any | Strips(item));
            case "Metaspace":
                return decoder.Get("prepend_scheme").TextOrNull() != "never"
                    && decoder.Get("add_prefix_space").Bool(true);
            case "Strip":
                return decoder.Get("start").Int() > 0;
            case "ByteLevel" or "Replace" or "ByteFallback" or "Fuse":
                return false;
            default:
                throw type.Error("Sequence, ByteLevel, Metaspace, Replace, ByteFallback, Fuse or Strip");
        }
    }

    private static (int[] Prefix, int[] Suffix) Template(JsonAt json, TokenizerParts parts)
    {
        if (json.IsNull) return ([], []);
        var type = json.Get("type");
        if (type.Text() == "ByteLevel") return ([], []);
        if (type.Text() == "Sequence")
        {
            var all = json.Get("processors").Items().Select(item => Template(item, parts)).ToArray();
            return (all.SelectMany(one => one.Prefix).ToArray(), all.SelectMany(one => one.Suffix).ToArray());
        }
        if (type.Text() != "TemplateProcessing") throw type.Error("ByteLevel, TemplateProcessing or Sequence");
        List<int> prefix = [], suffix = [];
        var side = prefix;
        foreach (var item in json.Get("single").Items())
        {
            if (!item.Get("Sequence").IsNull) side = suffix;
            else
            {
                var name = item.Get("SpecialToken").Get("id");
                side.Add(parts.IdOf(name.Text()) ?? throw name.Error("a known token"));
            }
        }
        return ([.. prefix], [.. suffix]);
    }
}
