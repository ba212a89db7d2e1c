using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Reads vocab.json with merges.txt: GPT-2's original form, byte-level.</summary>
internal static class VocabMerges
{
    public static TokenizerParts Read(string vocabFile, TokenizerConfig config)
    {
        string mergesFile = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(vocabFile))!, "merges.txt");
        if (!File.Exists(mergesFile))
            throw new UserErrorException(
                $"[tokenizer] {vocabFile} must have merges.txt beside it, but {mergesFile} is absent");
        var vocab = JsonAt.Load(vocabFile);
        if (vocab.Kind != System.Text.Json.JsonValueKind.Object) throw vocab.Error("an object of tokens and ids");
        var ids = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var (name, value) in vocab.Members()) ids[name] = TokenizerJson.CheckedId(value);
        bool qwen = config.Family.StartsWith("qwen", StringComparison.OrdinalIgnoreCase);
        var parts = new TokenizerParts(new BpeModel(TokenizerJson.ByIds(ids), ReadMerges(mergesFile, ids),
            BpeAlphabet.Bytes,
            unknown: -1, fuseUnknown: false, wholeWords: false, byteFallback: false))
        {
            Normalizer = qwen ? new Normalizer(Nfc.Compose) : Normalizer.None,
            PreTokenizer = PreTokenizer.Gpt(qwen ? GptSplit.Qwen2 : GptSplit.Gpt2),
        };
        if (parts.IdOf("<|endoftext|>") is not { } end || qwen) return parts;
        return parts with
        {
            Added = [new AddedToken(end, "<|endoftext|>", Special: true)],
            Bos = end,
            Eos = end,
            Unk =
            end
        };
    }

    private static Dictionary<long, (int, int)> ReadMerges(string file, Dictionary<string, int> ids)
    {
        var merges = new Dictionary<long, (int, int)>();
        int line = 0;
        foreach (string text in TextFile.Text(file).Split('\n').Select(text => text.TrimEnd('\r')))
        {
            line++;
            if (text.Length == 0 || text.StartsWith("#version", StringComparison.Ordinal)) continue;
            if (text.Split(' ') is not [{ Length: > 0 } left, { Length: > 0 } right])
                throw new UserErrorException($"{file}: line {line} must be two tokens, but is \"{text}\"");
            TokenizerJson.AddMerge(ids, merges, left, right, line, file, $"line {line}");
        }
        return merges;
    }
}
