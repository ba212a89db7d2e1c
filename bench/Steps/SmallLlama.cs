using CudaLora.Lora;

namespace CudaLora.Bench.Steps;

/// <summary>
/// The model of the step benchmarks: 4 layers of width 256, random weights, which cost what trained ones do.
/// </summary>
internal static class SmallLlama
{
    public const int Vocabulary = 2048;

    public static readonly LoraConfig Adapter =
        new() { R = 8, LoraAlpha = 16, TargetModules = ModuleSelector.AllLinear };

    public static ModelConfig Config => new()
    {
        Family = ModelFamily.Llama,
        VocabSize = Vocabulary,
        HiddenSize = 256,
        IntermediateSize = 704,
        Layers = 4,
        Heads = 8,
        KeyValueHeads = 8,
        HeadDim = 32,
        MaxPositions = 512,
        TieWordEmbeddings = true,
    };

    /// <summary>Texts of random tokens.</summary>
    public static int[][] Texts(int seed, int rows, int tokens)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, rows).Select(
            _ => Enumerable.Range(0, tokens).Select(_ => random.Next(3, Vocabulary)).ToArray())];
    }
}
