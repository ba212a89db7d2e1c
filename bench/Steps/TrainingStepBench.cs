using BenchmarkDotNet.Attributes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Bench.Steps;

/// <summary>
/// One optimiser step of a Llama with 4 layers of width 256, on 8 texts of 128 tokens: forward, backward, clip, AdamW.
/// The random weights and texts cost what trained ones cost.
/// </summary>
[MemoryDiagnoser]
public class TrainingStepBench
{
    private const int Rows = 8;
    private const int Tokens = 128;
    private const int Vocabulary = 2048;

    private readonly Sft objective = new();
    private readonly Batch batch = new();
    private readonly InputSet inputs = new(Device.Cpu);
    private CausalLM model = null!;
    private IFineTuning method = null!;
    private AdamW optimizer = null!;
    private Batcher data = null!;

    /// <summary>What trains: a LoRA adapter of rank 8 on all linear layers, or every weight.</summary>
    [Params("lora", "full")]
    public string Method { get; set; } = "lora";

    /// <summary>Whether block activations are computed again in backward.</summary>
    [Params(false, true)]
    public bool Checkpointing { get; set; }

    /// <summary>Makes the model and the texts.</summary>
    [GlobalSetup]
    public void Setup()
    {
        model = CausalLM.Create(Config(), 1);
        model.Training = true;
        model.GradientCheckpointing = Checkpointing;
        var config = new LoraConfig { R = 8, LoraAlpha = 16, TargetModules = ModuleSelector.AllLinear };
        method = Method == "full"
            ? new FullFineTuning(model)
            : new LoraFineTuning(LoraAdapter.Create(model, config, new Generator(1)));
        optimizer = new AdamW(method.Groups(new TrainingArguments { OutputDir = "unused", LearningRate = 1e-3 }));
        var random = new Random(1);
        var texts = new List<SftExample>();
        for (var i = 0; i < 64; i++)
        {
            var ids = Enumerable.Range(0, Tokens).Select(_ => random.Next(3, Vocabulary)).ToArray();
            texts.Add(new SftExample(ids, ids));
        }
        data = new Batcher(texts, new BatcherOptions { BatchSize = Rows });
    }

    /// <summary>Releases the model.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        optimizer.Dispose();
        model.Dispose();
    }

    /// <summary>The step.</summary>
    [Benchmark(OperationsPerInvoke = 1)]
    public double Step()
    {
        data.Next(batch);
        optimizer.ZeroGrad();
        using var scope = TensorScope.Begin();
        var loss = objective.Loss(model, batch, 1f / batch.LabelCount, inputs);
        loss.Backward();
        optimizer.Step(1, GradientClip.Scale(GradientClip.Norm(optimizer.Groups), 1));
        return loss.Item();
    }

    private static ModelConfig Config()
    {
        var folder = Directory.CreateTempSubdirectory("cudalora-bench");
        var path = Path.Combine(folder.FullName, "config.json");
        File.WriteAllText(path, $$"""
            {"model_type": "llama", "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4,
             "num_attention_heads": 8, "num_key_value_heads": 8, "vocab_size": {{Vocabulary}},
             "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
             "tie_word_embeddings": true, "hidden_act": "silu"}
            """);
        var config = ModelConfig.Read(path);
        folder.Delete(recursive: true);
        return config;
    }
}
