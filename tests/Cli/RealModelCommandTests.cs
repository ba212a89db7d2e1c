using System.Text.Json.Nodes;

namespace CudaLora.Tests;

/// <summary>The commands on the real TinyStories-656K and real data.</summary>
public sealed class RealModelCommandTests
{
    [Theory]
    [InlineData("instruct/alpaca_en_demo.json", "--val-size", "16")]
    [InlineData("nlg/e2e/train.txt", "--eval-data", "nlg/e2e/valid.txt", "--data-format", "e2e", "--max-samples",
        "400")]
    public void TrainingLowersTheHeldOutLoss(string data, params string[] more)
    {
        var model = SharedData.Require("models/TinyStories-656K");
        more = [.. more.Select(a => a.StartsWith("nlg/", StringComparison.Ordinal) ? SharedData.Require(a) : a)];
        using var folder = new TemporaryFolder();
        CliRun.Of([
            "train", "--model", model, "--data", SharedData.Require(data), "--max-steps", "25", "--output", folder.Path,
            "--max-length", "128", "--max-eval-samples", "32", "--exact-match-samples", "4", "--learning-rate", "4e-3",
            .. more,
        ]).AssertSucceeds();
        var summary = JsonNode.Parse(File.ReadAllText(folder.File("summary.json")))!;
        var (before, after) = ((double)summary["eval_loss_before"]!, (double)summary["eval_loss_after"]!);
        Assert.True(after < before - 0.3, $"{before} to {after}");
        Assert.Equal(4, (int)summary["exact_match_samples"]!);
    }

    [Fact]
    public void GenerationIsTheGreedyContinuation()
    {
        var model = SharedData.Require("models/TinyStories-656K");
        var run = CliRun.Of("generate", "--model", model, "--prompt", "Once upon a time", "--temperature", "0",
            "--max-new-tokens", "12");
        Assert.StartsWith("Once upon a time, a little girl named Lily", run.AssertSucceeds().Output,
            StringComparison.Ordinal);
        Assert.Contains("cpu", run.Error, StringComparison.Ordinal);
    }
}
