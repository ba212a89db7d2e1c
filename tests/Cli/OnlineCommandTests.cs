using System.Text.Json;
using System.Text.Json.Nodes;

namespace CudaLora.Tests;

/// <summary>ppo and grpo on a model of a few thousand weights: files, both kinds of reward, resume, wrong input.
/// </summary>
public sealed class OnlineCommandTests(TinyModelFolder tiny) : IClassFixture<TinyModelFolder>, IDisposable
{
    private static readonly string[] Words = ["red", "green", "blue", "white", "black", "brown"];

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Ppo_AgainstARewardModel_WritesEverything_AndResumesBitForBit()
    {
        var (reward, whole, parts) = (folder.File("rm"), folder.File("whole"), folder.File("parts"));
        CliRun.Of(
            "reward", "--model", tiny.Model, "--data", Pairs(), "--output", reward, "--max-steps", "10",
            "--learning-rate", "1e-2", "--device", "cpu", "--eval-strategy", "no").AssertSucceeds();
        string[] ppo = ["ppo", "--reward-model", reward, "--kl-target", "2", "--whiten-rewards"];
        var run = Online(whole, ppo).AssertSucceeds();
        Assert.Contains("s sampling", run.Output, StringComparison.Ordinal);
        Assert.All(
            (string[])["adapter_model.safetensors", "value_head.safetensors", "reward.png", "kl.svg", "samples.jsonl",
                "trainer_log.jsonl", "training_args.yaml", "checkpoint-4/trainer_state.json"],
            file => Assert.True(File.Exists(Path.Combine(whole, file)), file));
        var summary = JsonNode.Parse(File.ReadAllText(Path.Combine(whole, "summary.json")))!;
        Assert.Equal(4, (int)summary["steps"]!);
        Assert.True((double)summary["rollout_tokens_per_second"]! > 0);
        var rows = File.ReadLines(Path.Combine(whole, "samples.jsonl")).ToArray();
        Assert.Equal(4 * 4, rows.Length);
        Assert.StartsWith("Say ", (string)JsonNode.Parse(rows[0])!["prompt"]!, StringComparison.Ordinal);

        Online(parts, [.. ppo, "--resume-from-checkpoint", Path.Combine(whole, "checkpoint-2")]).AssertSucceeds();
        Assert.Equal(
            File.ReadAllBytes(Path.Combine(whole, "adapter_model.safetensors")),
            File.ReadAllBytes(Path.Combine(parts, "adapter_model.safetensors")));
    }

    [Theory]
    [InlineData("exact", "dapo")]
    [InlineData("contains", "grpo")]
    [InlineData("short", "dr_grpo")]
    [InlineData("polite", "bnpo")]
    public void Grpo_AgainstARule_RunsToTheEnd(string rule, string loss)
    {
        var output = folder.File("out");
        Online(output, "grpo", "--reward", rule, "--loss-type", loss, "--num-generations", "4", "--beta", "0.04")
            .AssertSucceeds();
        Assert.InRange(
            (double)JsonNode.Parse(File.ReadAllText(Path.Combine(output, "summary.json")))!["reward_last"]!, 0, 1);
    }

    [Fact]
    public void WrongInput_IsNamed()
    {
        string[] start = ["ppo", "--model", tiny.Model, "--data", tiny.Data, "--output", folder.File("o")];
        CliRun.Of(start).AssertFails(2, "either --reward-model or --reward is needed");
        CliRun.Of([.. start, "--reward", "short", "--init-lora-weights", "pissa"])
            .AssertFails(2, "--init-lora-weights pissa changes the base");
        CliRun.Of([.. start, "--reward", "kindness"]).AssertFails(2, "--reward must be one of exact", "'kindness'");
        CliRun.Of([.. start, "--reward-model", tiny.Model, "--response-length", "8"])
            .AssertFails(1, "adapter_config.json");
        CliRun.Of([.. start, "--reward", "short", "--response-length", "60"])
            .AssertFails(1, "none has", "--response-length");
        CliRun.Of([.. start, "--reward", "short", "--response-length", "8", "--num-mini-batches", "3"])
            .AssertFails(1, "num_mini_batches must divide the 64 responses");
        var prompts = folder.Write("p.jsonl", """{"prompt": "no answer"}""");
        CliRun.Of("ppo", "--model", tiny.Model, "--data", prompts, "--reward", "exact", "--response-length", "8",
            "--device", "cpu", "--output", folder.File("o"))
            .AssertFails(1, "reward 'exact' failed on sample 0 of step 1", "needs an answer in the data");
    }

    private CliRun Online(string output, params string[] more) => CliRun.Of([
        .. more, "--model", tiny.Model, "--data", tiny.Data, "--output", output, "--rollout-batch-size", "16",
        "--response-length", "12", "--num-mini-batches", "2", "--learning-rate", "1e-2", "--save-steps", "2",
        "--save-total-limit", "0", "--device", "cpu",
        .. more.Contains("--max-steps") ? (string[])[] : ["--max-steps", "4"]]);

    private string Pairs() => folder.Write("pairs.json", JsonSerializer.Serialize(
        Enumerable.Range(0, 24).Select(i => new
        {
            instruction = $"Say {Words[i % 6]}",
            chosen = Words[i % 3],
            rejected = Words[3 + (i % 3)],
        })));
}
