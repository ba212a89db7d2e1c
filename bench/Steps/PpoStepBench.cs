using BenchmarkDotNet.Attributes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Bench.Steps;

/// <summary>
/// The parts of a PPO step on a Llama with 4 layers of width 256: 32 prompts of 32 tokens, responses of 48 tokens that
/// no token ends, one pass in one mini-batch. Sampling goes through the key/value cache.
/// </summary>
public class PpoStepBench
{
    private const int Prompts = 32;
    private const int PromptTokens = 32;
    private const int ResponseTokens = 48;
    private const int Vocabulary = 2048;

    private CausalLM model = null!;
    private IReadOnlyList<int>[] prompts = null!;
    private int seed;

    /// <summary>Makes the model and the prompts.</summary>
    [GlobalSetup]
    public void Setup()
    {
        model = CausalLM.Create(
            new ModelConfig
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
            },
            1);
        LoraAdapter.Create(
            model, new LoraConfig { R = 8, LoraAlpha = 16, TargetModules = ModuleSelector.AllLinear },
            new Generator(1));
        var random = new Random(1);
        prompts = [.. Enumerable.Range(0, Prompts).Select(_ => (IReadOnlyList<int>)
            [.. Enumerable.Range(0, PromptTokens).Select(_ => random.Next(3, Vocabulary))])];
    }

    /// <summary>Releases the model.</summary>
    [GlobalCleanup]
    public void Cleanup() => model.Dispose();

    /// <summary>Sampling alone: 32 x 48 tokens.</summary>
    [Benchmark]
    public int Rollout() => model.Generate(
        prompts,
        new SamplingOptions { MaxNewTokens = ResponseTokens, StopIds = [], Seed = (ulong)seed++ })
        .Sum(continuation => continuation.Tokens.Count);

    /// <summary>Forward of prompts and responses under policy and reference.</summary>
    [Benchmark]
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
        var random = new Random(2);
        var shape = Shape.Of(Prompts, PromptTokens + ResponseTokens);
        var ids = Enumerable.Range(0, (int)shape.Count).Select(_ => random.Next(3, Vocabulary)).ToArray();
        return (Tensor.From(ids, shape), Tensor.From(ids, shape));
    }
}
