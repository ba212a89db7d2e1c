using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Finds a tokenizer's files, reads the main one and lays tokenizer_config.json and its kin over it.</summary>
internal static class TokenizerFiles
{
    private static readonly string[] Beside =
    [
        "tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "tokenizer_config.json",
            "special_tokens_map.json",
        "added_tokens.json", "chat_template.jinja",
    ];

    // What ends a text where no file says so, commonest first.
    private static readonly string[] KnownEos =
        ["</s>", "<|end_of_text|>", "<|endoftext|>", "<|im_end|>", "<eos>", "<|eot_id|>"];
    private static readonly string[] KnownBos = ["<s>", "<|begin_of_text|>", "<bos>"];

    public static TokenizerParts Read(string path)
    {
        string folder = Directory.Exists(path) ? path : Path.GetDirectoryName(Path.GetFullPath(path))!;
        string main = Directory.Exists(path) ? MainFile(path) : path;
        if (!File.Exists(main)) throw new UserErrorException($"[tokenizer] there is no file or folder {path}");
        var config = TokenizerConfig.Read(folder);
        TokenizerParts parts;
        if (main.EndsWith(".model", StringComparison.OrdinalIgnoreCase)) parts = SentencePieceFile.Read(main);
        else if (Path.GetFileName(main) == "vocab.json") parts = VocabMerges.Read(main, config);
        else if (main.EndsWith(".json", StringComparison.OrdinalIgnoreCase)) parts = TokenizerJson.Read(main);
        else throw new UserErrorException($"{main}: must be tokenizer.json, tokenizer.model or vocab.json");
        return Complete(parts, config) with { Files = FilesOf(main, folder) };
    }

    private static string MainFile(string folder)
    {
        foreach (string name in (string[])["tokenizer.json", "tokenizer.model", "vocab.json"])
            if (File.Exists(Path.Combine(folder, name))) return Path.Combine(folder, name);
        throw new UserErrorException(
            $"[tokenizer] {folder} must hold tokenizer.json, tokenizer.model or vocab.json, but has none of them");
    }

    private static string[] FilesOf(string main, string folder) =>
        Beside.Select(name => Path.Combine(folder, name)).Where(File.Exists).Append(main).DistinctBy(Path.GetFullPath)
            .ToArray();

    private static TokenizerParts Complete(TokenizerParts parts, TokenizerConfig config)
    {
        var extra = config.Added.Where(token => parts.Added.All(known => known.Content != token.Content));
        parts = parts with { Added = [.. parts.Added, .. extra] };
        var bos = parts.IdOf(config.TokenName("bos_token")) ?? parts.Bos;
        var eos = parts.IdOf(config.TokenName("eos_token")) ?? parts.Eos;
        if (!config.Exists)
        {
            bos ??= KnownBos.Select(parts.IdOf).FirstOrDefault(id => id != null);
            eos ??= KnownEos.Select(parts.IdOf).FirstOrDefault(id => id != null);
        }
        return parts with
        {
            Bos = bos,
            Eos = eos,
            Pad = parts.IdOf(config.TokenName("pad_token")) ?? parts.Pad,
            Unk = parts.IdOf(config.TokenName("unk_token")) ?? parts.Unk,
            Prefix = config.AddBos is { } addBos ? addBos && bos is { } first ? [first] : [] : parts.Prefix,
            Suffix = config.AddEos is { } addEos ? addEos && eos is { } last ? [last] : [] : parts.Suffix,
            ChatTemplate = config.ChatTemplate,
        };
    }
}
