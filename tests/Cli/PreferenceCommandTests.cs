using System.Text.Json;
using System.Text.Json.Nodes;

namespace CudaLora.Tests;

/// <summary>The preference commands on a model of a few thousand weights: files, scores, resume, wrong input.</summary>
public sealed class PreferenceCommandTests(TinyModelFolder tiny) : IClassFixture<TinyModelFolder>, IDisposable
{
    private static readonly string[] Words = ["red", "green", "blue", "white", "black", "brown"];

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("dpo", "eval_accuracies_after")]
    [InlineData("dpo", "eval_accuracies_after", "--loss-type", "ipo")]
    [InlineData("dpo", "eval_accuracies_after", "--loss-type", "simpo")]
    [InlineData("dpo", "eval_accuracies_after", "--method", "full")]
    [InlineData("dpo", "eval_accuracies_after", "--init-lora-weights", "pissa")]
    [InlineData("orpo", "eval_accuracies_after")]
    [InlineData("kto", "eval_margins_after")]
    [InlineData("reward", "eval_accuracy_after")]
    [InlineData("reward", "eval_accuracy_after", "--method", "full")]
    public void Command_LearnsHeldOutPreferences(string command, string score, params string[] more)
    {
        var output = folder.File("out");
        var run = CliRun.Of([
            command, "--model", tiny.Model, "--data", Pairs(), "--output", output, "--learning-rate", "1e-2",
            "--max-steps", "40", "--val-size", "8", "--logging-steps", "5", "--device", "cpu", "--eval-strategy", "no",
            "--save-strategy", "no", .. more]).AssertSucceeds();
        var summary = Summary(output);
        Assert.True((double)summary[score]! >= (command == "kto" ? 0.1 : 0.9), summary.ToJsonString());
        Assert.Equal(40, (int)summary["train_steps"]!);
        Assert.Equal(8, (int)summary["eval_pairs"]!);
        Assert.True(File.Exists(Path.Combine(output, "training_loss.png")));
        var last = JsonNode.Parse(File.ReadLines(Path.Combine(output, "trainer_log.jsonl")).Last())!;
        Assert.NotNull(last[command == "reward" ? "accuracy" : "rewards/margins"]);
        Assert.Contains("held out before training: loss", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Resumed_TheResultIsTheSameBitForBit()
    {
        string[] common = [
            "dpo", "--model", tiny.Model, "--data", Pairs(), "--learning-rate", "1e-2", "--max-steps", "6",
            "--save-steps", "3", "--lora-dropout", "0.1", "--device", "cpu", "--eval-strategy", "no"];
        var (whole, parts) = (folder.File("whole"), folder.File("parts"));
        CliRun.Of([.. common, "--output", whole]).AssertSucceeds();
        CliRun.Of([
            .. common, "--output", parts, "--resume-from-checkpoint", Path.Combine(whole, "checkpoint-3")])
            .AssertSucceeds();
        Assert.Equal(Weights(whole), Weights(parts));
    }

    [Fact]
    public void WrongInput_IsNamed()
    {
        CliRun.Of("dpo", "--model", tiny.Model, "--output", folder.File("o")).AssertFails(2, "--data");
        CliRun.Of("dpo", "--model", tiny.Model, "--data", folder.File("none.json"), "--output", folder.File("o"))
            .AssertFails(1, "none.json");
        var file = folder.Write("bad.json", """[{"prompt": "p", "chosen": "c"}]""");
        CliRun.Of("reward", "--model", tiny.Model, "--data", file, "--output", folder.File("o"))
            .AssertFails(1, $"{file}: record 1, rejected must be a text");
        CliRun.Of("dpo", "--model", tiny.Model, "--data", Pairs(), "--beta", "0").AssertFails(2, "--beta");
    }

    [Theory]
    [InlineData("reward", "eval_accuracy_after")]
    [InlineData("dpo", "eval_accuracies_after")]
    public void RealData_RunsToTheEnd(string command, string score)
    {
        var output = folder.File("real");
        CliRun.Of(
            command, "--model", SharedData.Require("models/TinyStories-656K"), "--data",
            SharedData.Require("preference/dpo_en_demo.json"), "--output", output, "--max-samples", "24",
            "--max-length", "128", "--num-train-epochs", "1", "--device", "cpu").AssertSucceeds();
        Assert.InRange((double)Summary(output)[score]!, 0, 1);
    }

    // The first three colours are always better than the other three.
    private string Pairs() => folder.Write("pairs.json", JsonSerializer.Serialize(
        Enumerable.Range(0, 48).Select(i => new
        {
            instruction = $"Say {Words[i % 6]}",
            input = "",
            chosen = Words[i % 3],
            rejected = Words[3 + (i * 5 % 3)],
        })));

    private static JsonNode Summary(string output) =>
        JsonNode.Parse(File.ReadAllText(Path.Combine(output, "summary.json")))!;

    private static byte[] Weights(string output) =>
        File.ReadAllBytes(Path.Combine(output, "adapter_model.safetensors"));
}
