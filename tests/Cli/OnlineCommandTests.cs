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

    [Theory]
    [InlineData("ppo")]
    [InlineData("grpo")]
    public void InFull_AFrozenCopyIsTheReference_AndTheResultIsAModel(string method)
    {
        var output = folder.File("full");
        string[] own = method == "ppo" ? [] : ["--beta", "0.04", "--num-generations", "4"];
        var run = Online(output, [method, "--method", "full", "--reward", "short", .. own]).AssertSucceeds();
        Assert.Contains("a second, frozen copy is its reference", run.Output, StringComparison.Ordinal);
        Assert.All(
            (string[])["model.safetensors", "config.json", "tokenizer.json"],
            file => Assert.True(File.Exists(Path.Combine(output, file)), file));
        Assert.NotEqual(
            File.ReadAllBytes(Path.Combine(tiny.Model, "model.safetensors")),
            File.ReadAllBytes(Path.Combine(output, "model.safetensors")));
        var kl = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "summary.json")))!["kl"]!;
        Assert.True((double)kl != 0, "the divergence from the frozen copy is never 0 after a step");
        CliRun.Of(
            "generate", "--model", output, "--prompt", "Say red", "--max-new-tokens", "3", "--device", "cpu")
            .AssertSucceeds();
    }

    [Fact]
    public void InFullWithoutAReference_NoCopyIsMade() => Assert.DoesNotContain(
        "frozen copy",
        Online(folder.File("full"), "grpo", "--method", "full", "--reward", "short", "--num-generations", "4")
            .AssertSucceeds().Output,
        StringComparison.Ordinal);

    [Fact]
    public void BestOfN_WritesDataThatTrains_AndPrintsTheWinRate()
    {
        var (output, right) = (folder.File("best.jsonl"), folder.File("right.jsonl"));
        string[] start = [
            "best-of-n", "--model", tiny.Model, "--data", tiny.Data, "--response-length", "8", "--device", "cpu",
            "--num-generations", "4", "--max-samples", "10"];
        var run = CliRun.Of([.. start, "--reward", "short", "--output", output]).AssertSucceeds();
        Assert.Contains("win rate over one sample", run.Output, StringComparison.Ordinal);
        var rows = File.ReadLines(output).Select(line => JsonNode.Parse(line)!).ToArray();
        Assert.Equal(10, rows.Length);
        Assert.All(rows, row => Assert.True((double)row["reward"]! >= (double)row["mean_reward"]!));
        Assert.Equal("Say red", (string)rows[0]["messages"]![0]!["content"]!);
        Assert.Equal("assistant", (string)rows[0]["messages"]![1]!["role"]!);
        CliRun.Of(
            "train", "--model", tiny.Model, "--data", output, "--output", folder.File("rft"), "--max-steps", "2",
            "--device", "cpu").AssertSucceeds();

        // The same seed gives the same file; a floor leaves out what is below it.
        CliRun.Of([.. start, "--reward", "short", "--output", right, "--min-reward", "2"]).AssertSucceeds();
        Assert.Empty(File.ReadAllText(right));
        CliRun.Of([.. start, "--reward", "short", "--output", right]).AssertSucceeds();
        Assert.Equal(File.ReadAllText(output), File.ReadAllText(right));
    }

    [Fact]
    public void BestOfN_ByARewardModel_OfAnAdapter()
    {
        var (reward, policy, output) = (folder.File("rm"), folder.File("policy"), folder.File("best.jsonl"));
        CliRun.Of(
            "reward", "--model", tiny.Model, "--data", Pairs(), "--output", reward, "--max-steps", "2",
            "--device", "cpu", "--eval-strategy", "no").AssertSucceeds();
        Online(policy, "grpo", "--reward", "short", "--num-generations", "4").AssertSucceeds();
        CliRun.Of(
            "best-of-n", "--model", tiny.Model, "--adapter", policy, "--data", tiny.Data, "--reward-model", reward,
            "--response-length", "8", "--num-generations", "3", "--output", output, "--device", "cpu")
            .AssertSucceeds();
        Assert.Equal(48, File.ReadLines(output).Count());
    }

    [Fact]
    public void BestOfN_WrongInputIsNamed()
    {
        string[] start = ["best-of-n", "--model", tiny.Model, "--data", tiny.Data, "--device", "cpu"];
        CliRun.Of([.. start, "--reward", "short"]).AssertFails(2, "--output");
        CliRun.Of([.. start, "--output", folder.File("o")])
            .AssertFails(2, "either --reward-model or --reward is needed");
        CliRun.Of([.. start, "--output", folder.File("o"), "--reward", "short", "--num-generations", "1"])
            .AssertFails(2, "--num-generations");
        CliRun.Of([.. start, "--output", folder.File("o"), "--reward", "short", "--response-length", "60"])
            .AssertFails(1, "none has", "--response-length");
        CliRun.Of([.. start, "--output", folder.File("o"), "--reward", "short", "--adapter", folder.File("none")])
            .AssertFails(1, "the adapter folder does not exist");
        Assert.False(File.Exists(folder.File("o")));
    }

    [Fact]
    public void WrongInput_IsNamed()
    {
        string[] start = ["ppo", "--model", tiny.Model, "--data", tiny.Data, "--output", folder.File("o")];
        CliRun.Of(start).AssertFails(2, "either --reward-model or --reward is needed");
        CliRun.Of([.. start, "--reward", "short", "--init-lora-weights", "pissa"])
            .AssertFails(2, "--init-lora-weights pissa changes the base");
        CliRun.Of([.. start, "--reward", "short", "--method", "full", "--quantize", "nf4"])
            .AssertFails(2, "--method full needs weights of floats");
        CliRun.Of([.. start, "--reward", "kindness"]).AssertFails(2, "--reward must be one of exact", "'kindness'");
        CliRun.Of([.. start, "--reward-model", tiny.Model, "--response-length", "8"])
            .AssertFails(1, "adapter_config.json");
        CliRun.Of([.. start, "--reward", "short", "--response-length", "60"])
            .AssertFails(1, "none has", "--response-length");
        CliRun.Of([.. start, "--reward", "short", "--response-length", "8", "--num-mini-batches", "3"])
            .AssertFails(1, "num_mini_batches must divide the 64 responses");
        var prompts = folder.Write("p.jsonl", """{"prompt": "no answer"}""");
        CliRun.Of("ppo", "--model", tiny.Model, "--data", prompts, "--reward", "exact", "--response-length", "8",
            "--device", "cpu", "--output", folder.File("none"))
            .AssertFails(1, "p.jsonl: --reward exact compares with an answer, but record 1 has none");
        Assert.False(Directory.Exists(folder.File("none")));
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
