using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>
/// PPO and GRPO on a random model of a few thousand weights, rewarded by the share of a quarter of the vocabulary in
/// its responses.
/// </summary>
internal static class OnlineFixture
{
    private static readonly Tokenizer Tokenizer = TinyTokenizer.Make();

    public static readonly IReward Letters = new FunctionReward(
        "letters", sample => sample.ResponseIds.Count(id => id < 65) / (double)sample.ResponseIds.Count);

    public static TrainingResult Train(
        Policy policy, string method, string output, int steps, IReward reward, Recorder? recorder = null,
        string? resume = null, double? target = null, int save = 2, double klLimit = 200, double penalty = 0,
        CausalLM? reference = null, CancellationToken stop = default)
    {
        var arguments = new TrainingArguments
        {
            OutputDir = output,
            MaxSteps = steps,
            LearningRate = 2e-2,
            LrSchedulerType = "constant",
            PerDeviceTrainBatchSize = 8,
            SaveSteps = save,
            SaveTotalLimit = 0,
            ResumeFromCheckpoint = resume,
        };
        var run = policy.Run(reward) with { Observer = recorder, Reference = reference };
        if (method == "ppo")
        {
            var options = new PpoOptions
            {
                Prompts = 32,
                ResponseLength = 6,
                Temperature = 1,
                Epochs = 2,
                MiniBatches = 2,
                KlCoef = 0.01,
                KlTarget = target,
                KlLimit = klLimit,
                MissingEosPenalty = penalty,
            };
            return new PpoTrainer(arguments, options, new PolicyFineTuning(policy.Method, policy.Head), run).Run(stop);
        }
        var grpo = new GrpoOptions
        {
            Prompts = 4,
            Generations = 8,
            ResponseLength = 6,
            Epochs = 2,
            MiniBatches = 2,
            Beta = 0.01,
            KlLimit = klLimit,
            MissingEosPenalty = penalty,
        };
        return new GrpoTrainer(arguments, grpo, new PolicyFineTuning(policy.Method), run).Run(stop);
    }

    public sealed class Policy : IDisposable
    {
        private readonly LoraAdapter? adapter;

        public Policy(bool full = false)
        {
            Model = Make();
            Head = new ValueHead(Model);
            if (full)
            {
                Method = new FullFineTuning(Model);
                return;
            }
            adapter = LoraAdapter.Create(
                Model,
                // A random output layer would hardly tell the rewarded tokens from the others.
                new LoraConfig
                {
                    R = 8,
                    LoraAlpha = 16,
                    TargetModules = ModuleSelector.Of("q_proj", "v_proj", "down_proj", "lm_head"),
                },
                new Generator(2));
            Method = new LoraFineTuning(adapter);
        }

        public CausalLM Model { get; }

        public IFineTuning Method { get; }

        /// <summary>B of the output layer's adapter.</summary>
        public Parameter Output => adapter!.TrainableParameters()
            .Single(p => p.Path.Value.EndsWith("lm_head.lora_B.weight", StringComparison.Ordinal));

        public ValueHead Head { get; }

        public static CausalLM Make() => CausalLM.Create(
            new ModelConfig
            {
                Family = ModelFamily.Llama,
                VocabSize = 260,
                HiddenSize = 32,
                IntermediateSize = 48,
                Layers = 2,
                Heads = 2,
                KeyValueHeads = 2,
                HeadDim = 16,
                MaxPositions = 32,
                InitializerRange = 0.1,
            },
            seed: 1);

        public OnlineRun Run(IReward reward) => new(
            [.. ((string[])["x", "yy", "zzz"]).Select(text =>
                (new PromptRecord(new PromptExample(text, "")), Tokenizer.Encode(text)))],
            Tokenizer, [Tokenizer.EosId!.Value], reward);

        public void Dispose()
        {
            Head.Dispose();
            adapter?.Dispose();
            Model.Dispose();
        }
    }

    public sealed class Recorder : ITrainerObserver
    {
        public List<StepReport> Steps { get; } = [];

        public int Samples { get; private set; }

        public void OnStep(in StepReport report) => Steps.Add(report);

        public void OnSamples(int step, IReadOnlyList<RewardSample> samples, ReadOnlySpan<float> rewards) =>
            Samples += samples.Count;
    }
}
