using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Llama sizes that train on a desk.</summary>
internal static class ModelSizes
{
    private const int HeadDim = 32;

    private static readonly (string Name, int Hidden, int Intermediate, int Layers, int KeyValueHeads,
        int Context)[] All =
    [
        ("nano", 64, 192, 2, 2, 256),
        ("tiny", 128, 384, 4, 4, 512),
        ("mini", 256, 768, 4, 4, 512),
        ("small", 512, 1408, 8, 8, 1024),
    ];

    public static IEnumerable<string> Names => All.Select(s => s.Name);

    /// <summary>Width and layers of each size.</summary>
    public static string Describe() => string.Join(", ", All.Select(s => $"{s.Name} {s.Hidden} x {s.Layers}"));

    /// <summary>The config of a size for a tokenizer's vocabulary.</summary>
    public static ModelConfig Of(string name, Tokenizer tokenizer)
    {
        var size = All.First(s => s.Name == name);
        return new ModelConfig
        {
            Family = ModelFamily.Llama,
            VocabSize = tokenizer.VocabSize,
            HiddenSize = size.Hidden,
            IntermediateSize = size.Intermediate,
            Layers = size.Layers,
            Heads = size.Hidden / HeadDim,
            KeyValueHeads = size.KeyValueHeads,
            HeadDim = HeadDim,
            MaxPositions = size.Context,
            TieWordEmbeddings = true,
            BosTokenId = tokenizer.BosId,
            EosTokenIds = tokenizer.EosId is { } eos ? [eos] : [],
            PadTokenId = tokenizer.PadId,
        };
    }
}
