using System.Text.Json;
using CudaLora.Lora;

namespace CudaLora.Tests;

/// <summary>A model folder of a few thousand random weights with its own tokenizer, and a data file; made
/// once.</summary>
public sealed class TinyModelFolder : IDisposable
{
    private static readonly string[] Words = ["red", "green", "blue", "white", "black", "brown"];

    private readonly TemporaryFolder folder = new();

    public TinyModelFolder()
    {
        var records = Words.Select(word => new { instruction = $"Say {word}", input = "", output = word }).ToArray();
        Data = folder.Write("data.json", JsonSerializer.Serialize(Enumerable.Repeat(records, 8).SelectMany(r => r)));
        Directory.CreateDirectory(Model);
        var texts = records.SelectMany(r => new[] { r.instruction, r.output, "### Instruction:\n\n\n### Response:\n" });
        var tokenizer = BpeTrainer.Train(Enumerable.Repeat(texts, 20).SelectMany(t => t), 300, Model, 64);
        MakeModel(Model, tokenizer, hidden: 32);
    }

    public string Model => folder.File("model");

    public string Data { get; }

    public static void MakeModel(string path, Tokenizer tokenizer, int hidden)
    {
        using var model = CausalLM.Create(
            new ModelConfig
            {
                Family = ModelFamily.Llama,
                VocabSize = tokenizer.VocabSize,
                HiddenSize = hidden,
                IntermediateSize = 2 * hidden,
                Layers = 2,
                Heads = 2,
                KeyValueHeads = 2,
                HeadDim = hidden / 2,
                MaxPositions = 64,
                TieWordEmbeddings = true,
                EosTokenIds = tokenizer.EosId is { } eos ? [eos] : [],
            },
            seed: 1);
        model.Save(path);
    }

    public void Dispose() => folder.Dispose();
}
