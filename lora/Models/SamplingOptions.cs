using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>How the next token is chosen and when a continuation ends.</summary>
public sealed record SamplingOptions
{
    /// <summary>Divides the logits; 0 means greedy: always the likeliest token.</summary>
    public double Temperature { get; init; } = 1;

    /// <summary>Choose among this many likeliest tokens; 0 means all.</summary>
    public int TopK { get; init; }

    /// <summary>Choose among the likeliest tokens that together have this probability; 1 means all.</summary>
    public double TopP { get; init; } = 1;

    /// <summary>Longest continuation, in tokens.</summary>
    public int MaxNewTokens { get; init; } = 128;

    /// <summary>Key of the random draws. The same seed gives the same text, whatever else is in the batch.</summary>
    public ulong Seed { get; init; } = 42;

    /// <summary>Tokens that end a continuation; null means those of the model.</summary>
    public IReadOnlyList<int>? StopIds { get; init; }

    /// <summary>True if the likeliest token is always taken.</summary>
    public bool IsGreedy => Temperature == 0;

    /// <summary>Checks the ranges.</summary>
    /// <exception cref="UserErrorException">A value is outside its range.</exception>
    public void Validate()
    {
        if (!double.IsFinite(Temperature) || Temperature < 0)
            throw new UserErrorException($"temperature must be at least 0, but is {Temperature}");
        if (TopK < 0) throw new UserErrorException($"top_k must be at least 0, but is {TopK}");
        if (TopP is not (> 0 and <= 1))
            throw new UserErrorException($"top_p must be above 0 and at most 1, but is {TopP}");
        if (MaxNewTokens < 1) throw new UserErrorException($"max_new_tokens must be at least 1, but is {MaxNewTokens}");
    }
}
