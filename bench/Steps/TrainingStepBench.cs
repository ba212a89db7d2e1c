using BenchmarkDotNet.Attributes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Bench.Steps;

/// <summary>
/// One optimiser step of a Llama with 4 layers of width 256, on 8 texts of 128 tokens: forward, backward, clip, AdamW.
/// </summary>
[Config(typeof(BenchConfig))]
public class TrainingStepBench
{
    private const int Rows = 8;
    private const int Tokens = 128;

    private readonly Sft objective = new();
    private readonly Batch batch = new();
    private readonly InputSet inputs = new(Device.Cpu);
    private CausalLM model = null!;
    private IFineTuning method = null!;
    private AdamW optimizer = null!;
    private Batcher data = null!;

    /// <summary>What trains: a LoRA adapter of rank 8 on all linear layers, or every weight.</summary>
    [Params("lora", "full")]
    public string Trains { get; set; } = "lora";

    /// <summary>Whether block activations are computed again in backward.</summary>
    [Params(false, true)]
    public bool Checkpointing { get; set; }

    /// <summary>Makes the model and the texts.</summary>
    [GlobalSetup]
    public void Setup()
    {
        model = CausalLM.Create(SmallLlama.Config, 1);
        model.Training = true;
        model.GradientCheckpointing = Checkpointing;
        method = Trains == "full"
            ? new FullFineTuning(model)
            : new LoraFineTuning(LoraAdapter.Create(model, SmallLlama.Adapter, new Generator(1)));
        optimizer = new AdamW(method.Groups(new TrainingArguments { OutputDir = "unused", LearningRate = 1e-3 }));
        SftExample[] texts = [.. SmallLlama.Texts(1, 64, Tokens).Select(ids => new SftExample(ids, ids))];
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
    [Benchmark]
    [Work(Tokens = Rows * Tokens)]
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
}
