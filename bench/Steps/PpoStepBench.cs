using BenchmarkDotNet.Attributes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Bench.Steps;

/// <summary>
/// The parts of a PPO step on a Llama with 4 layers of width 256: 32 prompts of 32 tokens, responses of 48 tokens that
/// no token ends, one pass in one mini-batch. Sampling goes through the key/value cache.
/// </summary>
[Config(typeof(BenchConfig))]
public class PpoStepBench
{
    private const int Prompts = 32;
    private const int PromptTokens = 32;
    private const int ResponseTokens = 48;

    private CausalLM model = null!;
    private int[][] prompts = null!;
    private int seed;

    /// <summary>Makes the model and the prompts.</summary>
    [GlobalSetup]
    public void Setup()
    {
        model = CausalLM.Create(SmallLlama.Config, 1);
        LoraAdapter.Create(model, SmallLlama.Adapter, new Generator(1));
        prompts = SmallLlama.Texts(1, Prompts, PromptTokens);
    }

    /// <summary>Releases the model.</summary>
    [GlobalCleanup]
    public void Cleanup() => model.Dispose();

    /// <summary>Sampling alone: 32 x 48 tokens.</summary>
    [Benchmark]
    [Work(Tokens = Prompts * ResponseTokens)]
    public int Rollout() => model.Generate(
        prompts,
        new SamplingOptions { MaxNewTokens = ResponseTokens, StopIds = [], Seed = (ulong)seed++ })
        .Sum(continuation => continuation.Tokens.Count);

    /// <summary>Forward of prompts and responses under policy and reference.</summary>
    [Benchmark]
    [Work(Tokens = Prompts * (PromptTokens + ResponseTokens))]
    public float Scoring()
    {
        using var noGrad = GradMode.NoGrad();
        using var scope = TensorScope.Begin();
        var (ids, labels) = Texts();
        var policy = model.Forward(ids).GatherLogProbs(labels).Sum().Item();
        var adapter = model.ActiveAdapter!;
        adapter.Deactivate();
        var reference = model.Forward(ids).GatherLogProbs(labels).Sum().Item();
        adapter.Activate();
        return policy - reference;
    }

    /// <summary>Forward and backward of a policy loss over all tokens.</summary>
    [Benchmark]
    [Work(Tokens = Prompts * (PromptTokens + ResponseTokens))]
    public float Update()
    {
        using var scope = TensorScope.Begin();
        var (ids, labels) = Texts();
        var loss = model.Forward(ids).GatherLogProbs(labels).Mean();
        loss.Backward();
        foreach (var parameter in model.ActiveAdapter!.TrainableParameters())
            parameter.Value.ZeroGrad();
        return loss.Item();
    }

    private (Tensor Ids, Tensor Labels) Texts()
    {
        var shape = Shape.Of(Prompts, PromptTokens + ResponseTokens);
        int[] ids = [.. SmallLlama.Texts(2, Prompts, PromptTokens + ResponseTokens).SelectMany(text => text)];
        return (Tensor.From(ids, shape), Tensor.From(ids, shape));
    }
}
