namespace CudaLora.Lora;

/// <summary>What the readers of the different file formats hand to <see cref="Tokenizer"/>.</summary>
internal sealed record TokenizerParts(BpeModel Model)
{
    public Normalizer Normalizer { get; init; } = Normalizer.None;
    public PreTokenizer PreTokenizer { get; init; } = PreTokenizer.None;
    public AddedToken[] Added { get; init; } = [];

    /// <summary>Ids put before and after a text that asks for special tokens.</summary>
    public int[] Prefix { get; init; } = [];
    public int[] Suffix { get; init; } = [];

    /// <summary>Decoding drops one leading blank: the one that encoding put there.</summary>
    public bool StripsFirstBlank { get; init; }
    public int? Bos { get; init; }
    public int? Eos { get; init; }
    public int? Pad { get; init; }
    public int? Unk { get; init; }
    public string? ChatTemplate { get; init; }

    /// <summary>The files it came from, to be copied beside a trained or merged model.</summary>
    public string[] Files { get; init; } = [];

    public int? IdOf(string? token)
    {
        if (token == null) return null;
        if (Added.FirstOrDefault(added => added.Content == token) is { } found) return found.Id;
        return Model.TryGetId(token, out int id) ? id : null;
    }
}
