namespace CudaLora.Bench.Ops;

/// <summary>Shapes of LoRA layers, from one token of a small model to a long batch of a large one.</summary>
internal static class LoraGrid
{
    private static readonly (int In, int Out)[] Widths =
        [(512, 512), (1024, 1024), (2048, 2048), (4096, 4096), (4096, 14336), (14336, 4096)];

    /// <summary>Every width by every rank by every number of tokens.</summary>
    public static IEnumerable<LoraLinearBench.LoraSize> All =>
        from widths in Widths
        from rank in (int[])[4, 16, 64, 256]
        from tokens in (int[])[1, 16, 128, 1024, 4096, 16384]
        select new LoraLinearBench.LoraSize(tokens, widths.In, widths.Out, rank);

    /// <summary>The sizes of research and of a first look.</summary>
    public static IEnumerable<LoraLinearBench.LoraSize> Usual =>
        from shape in ((int Tokens, int In, int Out)[])
            [(8192, 4096, 4096), (2048, 4096, 4096), (8192, 4096, 14336), (8192, 14336, 4096)]
        from rank in (int[])[4, 16, 64]
        select new LoraLinearBench.LoraSize(shape.Tokens, shape.In, shape.Out, rank);
}
