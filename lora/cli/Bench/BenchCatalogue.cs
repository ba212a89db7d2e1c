namespace CudaLora.Cli;

/// <summary>What <c>cudalora bench</c> measures on the CPU; its ceilings come first.</summary>
internal static class BenchCatalogue
{
    /// <summary>All cases; <paramref name="shrink"/>, a power of two to 16, divides their extents, for tests.</summary>
    public static IReadOnlyList<BenchCase> All(int shrink = 1) =>
    [
        KernelCases.Peak(shrink),
        KernelCases.Copy(shrink),
        .. KernelCases.Products(shrink),
        .. OpCases.Layers(shrink),
        .. OpCases.Rows(shrink),
        .. OpCases.Attention(shrink),
        KernelCases.AdamW(shrink),
        .. ModelCases.Files(shrink),
        .. ModelCases.Bundled(shrink),
    ];

    /// <summary>The ceilings, and the others whose title holds the text; all without one.</summary>
    public static IReadOnlyList<BenchCase> Matching(IEnumerable<BenchCase> cases, string? text) =>
        [.. cases.Where(one => one.Group == KernelCases.Ceilings || Matches(one.Title, text))];

    public static bool Matches(string title, string? text) =>
        text is null || title.Contains(text, StringComparison.OrdinalIgnoreCase);
}
