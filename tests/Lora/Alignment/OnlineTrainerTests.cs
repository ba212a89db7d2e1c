using System.Globalization;
using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>
/// PPO and GRPO on a random model of a few thousand weights, rewarded by the share of a quarter of the vocabulary in
/// its responses.
/// </summary>
public sealed class OnlineTrainerTests : IDisposable
{
    private static readonly Tokenizer Tokenizer = TinyTokenizer.Make();

    private static readonly IReward Letters = new FunctionReward(
        "letters", sample => sample.ResponseIds.Count(id => id < 65) / (double)sample.ResponseIds.Count);

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("ppo")]
    [InlineData("grpo")]
    public void RewardRises_AndEverythingIsLogged(string method)
    {
        using var policy = new Policy();
        var recorder = new Recorder();
        var result = Train(policy, method, folder.File("out"), 30, Letters, recorder: recorder);

        Assert.Equal((TrainingEnd.Completed, 30), (result.End, result.Steps));
        var (first, last) = (recorder.Steps[0].Metrics!, recorder.Steps[^1].Metrics!);
        Assert.True(
            first["objective/scores"] < 0.35 && last["objective/scores"] > 0.6,
            $"{first["objective/scores"]} to {last["objective/scores"]}");
        Assert.Equal(0, first["objective/kl"], 1e-4);
        Assert.True(last["objective/kl"] > 0.1);
        string[] names = [
            "objective/entropy", "scores/std", "completions/mean_length", "completions/max_length",
            "val/num_eos_tokens", "time/rollout", "time/scoring", "time/update"];
        string[] ppo = [
            "policy/approxkl_avg", "policy/clipfrac_avg", "policy/entropy_avg", "loss/policy_avg", "loss/value_avg",
            "val/clipfrac_avg", "val/ratio", "val/explained_variance", "objective/non_score_reward",
            "objective/rlhf_reward", "objective/kl_coef"];
        string[] grpo = ["reward", "frac_reward_zero_std", "clip_ratio/region_mean", "completions/clipped_ratio"];
        Assert.All([.. names, .. method == "ppo" ? ppo : grpo], name => Assert.Contains(name, last));
        Assert.Equal(30 * 32, recorder.Samples);
        Assert.True(File.Exists(folder.File("out/adapter_model.safetensors")));
        Assert.Equal(method == "ppo", File.Exists(folder.File("out/" + ValueHead.FileName)));
        var state = JsonNode.Parse(File.ReadAllText(folder.File("out/trainer_state.json")))!;
        Assert.Equal(30 * 32, (int)state["log_history"]![29]!["episode"]!);
    }

    [Theory]
    [InlineData("ppo")]
    [InlineData("grpo")]
    public void Resumed_TheRunIsTheSameBitForBit(string method)
    {
        var (whole, parts) = (folder.File("whole"), folder.File("parts"));
        using (var policy = new Policy())
            Train(policy, method, whole, 4, Letters, target: 1);
        using (var policy = new Policy())
            Train(policy, method, parts, 4, Letters, target: 1, resume: Path.Combine(whole, "checkpoint-2"));
        string[] files = method == "ppo"
            ? ["adapter_model.safetensors", "checkpoint-4/optimizer.safetensors", ValueHead.FileName]
            : ["adapter_model.safetensors", "checkpoint-4/optimizer.safetensors"];
        Assert.All(files, file => Assert.Equal(
            File.ReadAllBytes(Path.Combine(whole, file)), File.ReadAllBytes(Path.Combine(parts, file))));
        Assert.Equal(
            File.ReadAllText(Path.Combine(whole, "checkpoint-4", "trainer_state.json")),
            File.ReadAllText(Path.Combine(parts, "checkpoint-4", "trainer_state.json")));
    }

    [Fact]
    public void Interrupted_TheStateBeforeTheStepIsSaved_AndTheRunGoesOnTheSame()
    {
        var (whole, parts) = (folder.File("whole"), folder.File("parts"));
        using (var policy = new Policy())
            Train(policy, "ppo", whole, 4, Letters);
        using var source = new CancellationTokenSource();
        var asked = 0;
        var stops = new FunctionReward("stops", sample =>
        {
            if (++asked > 3 * 32)
                source.Cancel();
            source.Token.ThrowIfCancellationRequested();
            return sample.ResponseIds.Count(id => id < 65) / (double)sample.ResponseIds.Count;
        });
        using (var policy = new Policy())
        {
            var result = Train(policy, "ppo", parts, 4, stops, stop: source.Token);
            Assert.Equal((TrainingEnd.Interrupted, 3), (result.End, result.Steps));
        }
        using (var policy = new Policy())
            Train(policy, "ppo", parts, 4, Letters, resume: "true");
        Assert.Equal(
            File.ReadAllBytes(Path.Combine(whole, "adapter_model.safetensors")),
            File.ReadAllBytes(Path.Combine(parts, "adapter_model.safetensors")));
    }

    [Fact]
    public void ARewardThatThrows_NamesTheSample_AndLosesNothing()
    {
        var asked = 0;
        RewardSample? bad = null;
        var fails = new FunctionReward("fails", sample =>
        {
            if (++asked == (2 * 32) + 6)
                bad = sample;
            return sample == bad ? throw new InvalidOperationException("no opinion") : asked % 3;
        });
        using var policy = new Policy();
        var message = Refused(() => Train(policy, "ppo", folder.File("out"), 9, fails, save: 100));
        Assert.StartsWith(
            "ppo: reward 'fails' failed on sample 5 of step 3 (prompt '", message, StringComparison.Ordinal);
        Assert.Contains(
            $"no opinion; the state after step 2 is in {folder.File("out")}", message, StringComparison.Ordinal);
        Assert.Equal(2, TrainerState.Read(folder.File("out/checkpoint-2")).GlobalStep);
    }

    [Fact]
    public void ARewardThatIsNoNumber_IsRefused()
    {
        using var policy = new Policy();
        Assert.Contains(
            "reward 'odd' must give finite numbers, but gave NaN for sample 0 of step 1",
            Refused(() => Train(policy, "grpo", folder.File("out"), 2, new FunctionReward("odd", _ => double.NaN))),
            StringComparison.Ordinal);
    }

    [Fact]
    public void AnExplodingDivergence_StopsWithTheStep_AndKeepsTheLastGoodCheckpoint()
    {
        using var policy = new Policy();
        var message = Refused(() => Train(policy, "ppo", folder.File("out"), 60, Letters, save: 1, klLimit: 0.5));
        Assert.Matches(
            "ppo stopped at step [0-9]+: the divergence from the reference is .* above the limit of 0.5", message);
        var step = int.Parse(message.Split("step ")[1].Split(':')[0], CultureInfo.InvariantCulture);
        Assert.Contains(
            $"The last good checkpoint is {folder.File("out")}/checkpoint-{step - 1}", message,
            StringComparison.Ordinal);
        Assert.True(Directory.Exists(folder.File($"out/checkpoint-{step - 1}")));
    }

    [Fact]
    public void NotANumber_StopsWithTheStep()
    {
        using var policy = new Policy();
        var steps = 0;
        var breaks = new FunctionReward("breaks", _ =>
        {
            if (++steps == (2 * 32) + 1)
                policy.Head.Parameters().First().Value.Fill(float.NaN);
            return 1;
        });
        var message = Refused(() => Train(policy, "ppo", folder.File("out"), 9, breaks, save: 1));
        Assert.StartsWith("ppo stopped at step 3: training diverged", message, StringComparison.Ordinal);
        Assert.Contains("The last good checkpoint is", message, StringComparison.Ordinal);
    }

    [Fact]
    public void MissingEnd_CostsThePenalty()
    {
        using var policy = new Policy();
        var recorder = new Recorder();
        Train(policy, "grpo", folder.File("out"), 1, new FunctionReward("one", _ => 1), recorder: recorder, penalty: 3);
        var metrics = recorder.Steps[0].Metrics!;
        var finished = metrics["val/num_eos_tokens"] / 32;
        Assert.Equal(1, metrics["objective/scores"]);
        Assert.Equal(1 - (3 * (1 - finished)), metrics["reward"], 1e-6);
    }

    [Fact]
    public void BestOfN_KeepsTheHighestReward()
    {
        using var policy = new Policy();
        var options = new OnlineOptions { Generations = 8, ResponseLength = 6, Temperature = 1 };
        var best = BestOfN.Select(
            policy.Model, policy.Run(new FunctionReward("sum", s => s.ResponseIds.Sum())), options, 3,
            TestContext.Current.CancellationToken);
        Assert.Equal(3, best.Count);
        Assert.All(best, one => Assert.Equal(one.Sample.ResponseIds.Sum(), one.Reward));
        Assert.All(best, one => Assert.True(one.Reward > one.MeanReward));
        Assert.Equal(["x", "yy", "zzz"], best.Select(one => one.Sample.Prompt.Text));
    }

    [Theory]
    [InlineData(0, 1, "prompts")]
    [InlineData(5, 3, "num_mini_batches must divide the 5 responses")]
    public void WrongOptions_AreRefused(int prompts, int parts, string message) => Assert.Contains(
        message,
        Assert.Throws<UserErrorException>(
            () => new PpoOptions { Prompts = prompts, MiniBatches = parts }.Validate()).Message,
        StringComparison.Ordinal);

    private static string Refused(Action work) => Assert.Throws<UserErrorException>(work).Message;

    private static TrainingResult Train(
        Policy policy, string method, string output, int steps, IReward reward, Recorder? recorder = null,
        string? resume = null, double? target = null, int save = 2, double klLimit = 200, double penalty = 0,
        CancellationToken stop = default)
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
        var run = policy.Run(reward) with { Observer = recorder };
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
            return new PpoTrainer(arguments, options, new PolicyFineTuning(policy.Adapter, policy.Head), run).Run(stop);
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
        return new GrpoTrainer(arguments, grpo, new PolicyFineTuning(policy.Adapter), run).Run(stop);
    }

    private sealed class Policy : IDisposable
    {
        public Policy()
        {
            Model = CausalLM.Create(
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
            Adapter = LoraAdapter.Create(
                Model,
                // A random output layer would hardly tell the rewarded tokens from the others.
                new LoraConfig
                {
                    R = 8,
                    LoraAlpha = 16,
                    TargetModules = ModuleSelector.Of("q_proj", "v_proj", "down_proj", "lm_head"),
                },
                new Generator(2));
            Head = new ValueHead(Model);
        }

        public CausalLM Model { get; }

        public LoraAdapter Adapter { get; }

        public ValueHead Head { get; }

        public OnlineRun Run(IReward reward) => new(
            [.. ((string[])["x", "yy", "zzz"]).Select(text =>
                (new PromptRecord(new PromptExample(text, "")), Tokenizer.Encode(text)))],
            Tokenizer, [Tokenizer.EosId!.Value], reward);

        public void Dispose()
        {
            Head.Dispose();
            Adapter.Dispose();
            Model.Dispose();
        }
    }

    private sealed class Recorder : ITrainerObserver
    {
        public List<StepReport> Steps { get; } = [];

        public int Samples { get; private set; }

        public void OnStep(in StepReport report) => Steps.Add(report);

        public void OnSamples(int step, IReadOnlyList<RewardSample> samples, ReadOnlySpan<float> rewards) =>
            Samples += samples.Count;
    }
}
