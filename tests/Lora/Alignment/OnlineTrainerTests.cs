using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;
using static CudaLora.Tests.Lora.OnlineFixture;

namespace CudaLora.Tests.Lora;

/// <summary>PPO and GRPO of an adapter: what is learned, logged and resumed.</summary>
public sealed class OnlineTrainerTests : IDisposable
{
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
    public void TheReward_ComesAfterTheEnd_WhereTheLimitLeavesRoom()
    {
        using var policy = new Policy();
        var options = new PpoOptions { Prompts = 32, ResponseLength = 6, Temperature = 1 };
        var run = policy.Run(Letters);
        // A third of the ids end a response, so that most are short.
        var rollout = new RolloutSampler(
            policy.Model, run.Tokenizer, run.Prompts, [.. Enumerable.Range(0, 87)], options, seed: 1)
            .Sample(0, TestContext.Current.CancellationToken);
        Assert.Contains(rollout, example => example.Count < 6);
        Assert.Contains(rollout, example => example.Count == 6);
        Assert.All(rollout, example => Assert.Equal(example.Count < 6 ? example.Count + 1 : 6, example.States));
        // The sixth token may be an end too: there is no place after it.
        new PolicyScorer(policy.Model, policy.Head, 1, 32, usesReference: true).Score(rollout);
        foreach (var example in rollout)
        {
            example.Reward = 5;
            Assert.Equal(example.States, example.Values.Length);
            Assert.Equal(example.Count, example.LogProbs.Length);
            var rewards = PpoMath.Rewards(example, 0.1, KlEstimator.K1);
            Assert.Equal(5, rewards[^1], 1e-3);
            Assert.All(rewards[..^1], reward => Assert.Equal(0, reward, 1e-3));
        }
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
}
