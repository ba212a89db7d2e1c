namespace CudaLora.Lora;

/// <summary>A tokenised example.</summary>
/// <param name="Ids">Token ids (T).</param>
/// <param name="Labels">The same ids where they are learned and -100 elsewhere (T), not shifted: label t belongs to id
/// t, as in Hugging Face's data sets.</param>
public record SftExample(int[] Ids, int[] Labels)
{
    /// <summary>The label that no loss is taken from.</summary>
    public const int Ignored = -100;

    /// <summary>Tokens.</summary>
    public int Length => Ids.Length;

    /// <summary>Learned tokens. The first token has no predecessor to predict it from and never counts.</summary>
    public int LabelCount => Labels.Skip(1).Count(label => label != Ignored);
}

/// <summary>How examples are tokenised.</summary>
public sealed record SftOptions
{
    /// <summary>Most tokens of an example; longer ones are cut.</summary>
    public int MaxLength { get; init; } = 1024;

    /// <summary>Learn the prompt as well as the response.</summary>
    public bool LearnPrompt { get; init; }
}

/// <summary>A tokenised data set and what happened to it on the way.</summary>
/// <param name="Examples">The examples that are left.</param>
/// <param name="Truncated">Examples that were longer than allowed and were cut (documents are split instead).</param>
/// <param name="Dropped">Examples without a learned token.</param>
public sealed record SftData(IReadOnlyList<SftExample> Examples, int Truncated, int Dropped)
{
    /// <summary>Tokens in all examples.</summary>
    public long TokenCount => Examples.Sum(example => (long)example.Length);

    /// <summary>Tokens of the longest example.</summary>
    public int LongestLength => Examples.Count == 0 ? 0 : Examples.Max(example => example.Length);
}
