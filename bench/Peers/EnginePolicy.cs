using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Peers;

/// <summary>
/// The phases of a PPO step by CudaLora's own parts, on one base with a LoRA adapter and a value head.
/// </summary>
internal sealed class EnginePolicy : IDisposable
{
    private readonly LlamaSize size;
    private readonly IReadOnlyList<int>[] prompts;
    private readonly PolicyScorer scorer;
    private readonly StepRunner runner;

    public EnginePolicy(LlamaSize size, int rank, double rate, PpoOptions options, int[][] prompts)
    {
        (this.size, this.prompts, Options) = (size, [.. prompts], options);
        Model = CausalLM.Create(EngineLlama.Config(size), seed: 1);
        Base = [.. Model.Parameters()];
        Adapter = LoraAdapter.Create(
            Model, new LoraConfig { R = rank, LoraAlpha = 2 * rank, TargetModules = ModuleSelector.AllLinear },
            new Generator(2));
        Head = new ValueHead(Model);
        var random = new Random(3);
        // Neither B nor the head is zero, so that every gradient takes part in the comparison.
        foreach (var parameter in Trained.Where(p => !p.Path.Value.Contains("lora_A", StringComparison.Ordinal)))
        {
            foreach (ref var value in parameter.Value.Span<float>())
                value = ((random.NextSingle() * 2) - 1) * 0.05f;
        }
        Model.Training = false;
        scorer = new PolicyScorer(Model, Head, options.Temperature, size.Batch, usesReference: true);
        runner = new StepRunner(
            new TrainingArguments { OutputDir = "unused", LearningRate = rate, WeightDecay = 0.01, MaxGradNorm = 1 },
            new PolicyFineTuning(Adapter, Head), new PpoObjective(options, Head));
    }

    public CausalLM Model { get; }

    /// <summary>Parameters of the base.</summary>
    public IReadOnlyList<Parameter> Base { get; }

    public LoraAdapter Adapter { get; }

    public ValueHead Head { get; }

    public PpoOptions Options { get; }

    /// <summary>A, B and the value head.</summary>
    public IEnumerable<Parameter> Trained => Adapter.TrainableParameters().Concat(Head.Parameters());

    /// <summary>Responses (B, N) through the key/value cache; at temperature 0 the likeliest.</summary>
    public int[][] Rollout(int seed, double temperature) => [.. Model.Generate(
        prompts,
        new SamplingOptions
        {
            Temperature = temperature,
            MaxNewTokens = Options.ResponseLength,
            StopIds = [],
            Seed = (ulong)seed,
        }).Select(row => row.Tokens.ToArray())];

    /// <summary>Log-probabilities under policy and reference, entropies, values; rewards and advantages.</summary>
    public RolloutExample[] Score(int[][] responses)
    {
        var examples = responses.Select((response, b) => Example(prompts[b], response)).ToArray();
        scorer.Score(examples);
        foreach (var example in examples)
            example.Reward = PpoPeer.Reward(example.Sample.ResponseIds);
        var rewards = Array.ConvertAll(
            examples, example => PpoMath.Rewards(example, Options.KlCoef, Options.KlEstimator));
        PpoTrainer.Estimate(examples, rewards, Options);
        return examples;
    }

    /// <summary>One pass in one mini-batch: loss, backward, clipping, AdamW.</summary>
    public StepOutcome Update(RolloutExample[] examples) => runner.Run(
        new Batcher(examples, new BatcherOptions { BatchSize = size.Batch, Shuffle = false }), 1, 1);

    public void Dispose()
    {
        runner.Dispose();
        Head.Dispose();
        Adapter.Dispose();
        Model.Dispose();
    }

    private static RolloutExample Example(IReadOnlyList<int> prompt, int[] response) => new(
        [.. prompt, .. response], [.. Enumerable.Repeat(SftExample.Ignored, prompt.Count), .. response],
        new RewardSample(new PromptRecord(new PromptExample("", "")), prompt, response, "", IsFinished: false));
}
