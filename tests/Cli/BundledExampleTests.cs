using System.Text.Json;
using CudaLora.Cli;
using CudaLora.Lora;

namespace CudaLora.Tests;

/// <summary>What a newcomer runs first: <c>cudalora train</c> without arguments, but for the output folder.</summary>
public class BundledExampleTests
{
    [Fact]
    public void Train_LearnsToAnswerHeldOutInstructions()
    {
        using var output = new TemporaryFolder();
        CliRun.Of("train", "--output", output.Path, "--no-progress").AssertSucceeds();

        using var summary = JsonDocument.Parse(File.ReadAllText(Path.Combine(output.Path, "summary.json")));
        // The base states facts; it has never seen a question.
        Assert.True(summary.RootElement.GetProperty("exact_match_before").GetDouble() <= 0.02);
        Assert.True(summary.RootElement.GetProperty("exact_match_after").GetDouble() >= 0.9);
        Assert.True(File.Exists(Path.Combine(output.Path, "training_loss.png")));
        Assert.True(File.Exists(Path.Combine(output.Path, "adapter_config.json")));
    }

    [Fact]
    public void BundledFiles_AreWhatTheExampleCommandWrites()
    {
        using var output = new TemporaryFolder();
        CliRun.Of("example", "--output", output.Path).AssertSucceeds();
        Assert.Equal(File.ReadAllText(Path.Combine(output.Path, "train.jsonl")), File.ReadAllText(BundledExample.Data));
        Assert.Equal(File.ReadAllText(Path.Combine(output.Path, "eval.jsonl")),
            File.ReadAllText(BundledExample.EvalData));
        Assert.Equal(
            File.ReadAllText(Path.Combine(output.Path, "base", "tokenizer.json")),
            File.ReadAllText(Path.Combine(BundledExample.Model, "tokenizer.json")));
    }

    [Fact]
    public void HeldOutPrompts_AreNotAmongTheTrainingPrompts()
    {
        var train = Prompts(BundledExample.Data);
        Assert.Empty(Prompts(BundledExample.EvalData).Intersect(train));
        Assert.True(train.Count > 2000);

        static HashSet<string> Prompts(string file) =>
            [.. DataFile.Load(file).Cast<ChatExample>().Select(record => record.Messages[0].Content)];
    }
}
