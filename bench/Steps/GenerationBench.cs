using BenchmarkDotNet.Attributes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Bench.Steps;

/// <summary>64 new tokens after 32, by a Llama with 4 layers of width 256, greedy, with the key/value cache.</summary>
[Config(typeof(BenchConfig))]
public class GenerationBench
{
    private const int Prompt = 32;
    private const int Fresh = 64;

    private readonly SamplingOptions options = new() { MaxNewTokens = Fresh, Temperature = 0, StopIds = [] };
    private CausalLM model = null!;
    private int[][] prompts = null!;

    /// <summary>Rows of a batch.</summary>
    public sealed record Rows(int Count) : IWork
    {
        Work IWork.Of(string method) => new(0, 0, Count * Fresh);

        /// <inheritdoc/>
        public override string ToString() => $"{Count} x {Prompt} + {Fresh}";
    }

    /// <summary>Batches measured.</summary>
    public static IEnumerable<Rows> Batches =>
        BenchArguments.Full ? [new(1), new(4), new(8), new(32)] : [new(1), new(8)];

    /// <summary>The batch.</summary>
    [ParamsSource(nameof(Batches))]
    public Rows Batch { get; set; } = null!;

    /// <summary>Base weights alone, with an adapter of rank 8 on all linear layers, or in four bits.</summary>
    [Params("lora", "base", "nf4")]
    public string Weights { get; set; } = "lora";

    /// <summary>Makes the model and the prompts.</summary>
    [GlobalSetup]
    public void Setup()
    {
        model = CausalLM.Create(
            SmallLlama.Config, 1,
            quantization: Weights == "nf4" ? new QuantizationOptions { DoubleQuant = true } : null);
        if (Weights == "lora")
            LoraAdapter.Create(model, SmallLlama.Adapter, new Generator(1));
        prompts = SmallLlama.Texts(1, Batch.Count, Prompt);
    }

    /// <summary>Releases the model.</summary>
    [GlobalCleanup]
    public void Cleanup() => model.Dispose();

    /// <summary>Prompt and continuation.</summary>
    [Benchmark]
    public int Generate() => model.Generate(prompts, options).Sum(row => row.Tokens.Count);
}
