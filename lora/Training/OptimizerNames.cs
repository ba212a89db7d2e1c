namespace CudaLora.Lora;

/// <summary>The names that choose an optimiser, those of Hugging Face's Trainer. All are AdamW.</summary>
public static class OptimizerNames
{
    /// <summary>
    /// Moments in F32, or in 8-bit codes; on the device, or paged in host memory. Names that mean the same stand
    /// together.
    /// </summary>
    public static IReadOnlyList<string> All { get; } =
    [
        "adamw_torch", "adamw", "adamw_8bit", "adamw_bnb_8bit", "paged_adamw", "paged_adamw_32bit", "paged_adamw_8bit",
    ];

    /// <summary>Whether the moments are 8-bit codes.</summary>
    public static bool IsEightBit(string name) => Known(name).EndsWith("8bit", StringComparison.Ordinal);

    /// <summary>Whether the moments live in pinned host memory and pass by a CUDA device page by page.</summary>
    public static bool IsPaged(string name) => Known(name).StartsWith("paged", StringComparison.Ordinal);

    private static string Known(string name) => All.Contains(name)
        ? name
        : throw new ArgumentException($"[optim] name must be one of {string.Join(", ", All)}, but got {name}");
}
