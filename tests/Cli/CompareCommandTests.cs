using System.Text.Json.Nodes;
using CudaLora.Cli;

namespace CudaLora.Tests;

/// <summary><c>cudalora compare</c>: the table, its files, going on, and a cell that fails.</summary>
public sealed class CompareCommandTests(TinyModelFolder tiny) : IClassFixture<TinyModelFolder>
{
    [Fact]
    public void MethodsAreComparedOverSeedsAndFinishedRunsAreKept()
    {
        using var folder = new TemporaryFolder();
        var output = folder.File("out");
        var run = Compare(tiny.Model, output, "lora,full").AssertSucceeds();
        Assert.Contains("[4/4] full, seed 43", run.Output, StringComparison.Ordinal);
        var json = Json(output);
        var rows = json["methods"]!.AsArray();
        Assert.Equal(["lora", "full"], rows.Select(row => (string)row!["method"]!));
        foreach (var row in rows)
        {
            var losses = new[] { 42, 43 }.Select(seed => (double)JsonNode.Parse(File.ReadAllText(Path.Combine(
                output, "runs", $"{row!["method"]}-{seed}", "summary.json")))!["eval_loss_after"]!).ToArray();
            Assert.Equal((losses[0] + losses[1]) / 2, (double)row!["eval_loss"]!["mean"]!, 1e-12);
            // Of two values the sample deviation is their distance over √2.
            Assert.Equal(
                Math.Abs(losses[0] - losses[1]) / Math.Sqrt(2), (double)row["eval_loss"]!["deviation"]!, 1e-12);
            Assert.True((long)row["file_bytes"]! > 1000 && (double)row["seconds_per_step"]! > 0, row.ToJsonString());
        }
        Assert.Equal(1.0, (double)rows[1]!["trainable_share"]!);
        Assert.True((double)rows[0]!["trainable_share"]! < 0.9);
        Assert.All(["compare_parameters.png", "compare_time.png"], name =>
            Assert.Equal(0x89, File.ReadAllBytes(Path.Combine(output, name))[0]));
        Assert.Contains("| full |", File.ReadAllText(Path.Combine(output, "compare.md")), StringComparison.Ordinal);

        var kept = Path.Combine(output, "runs", "lora-42", "summary.json");
        var time = File.GetLastWriteTimeUtc(kept);
        File.Delete(Path.Combine(output, "runs", "full-43", "cell.json"));
        Compare(tiny.Model, output, "lora,full").AssertSucceeds();
        Assert.Equal(time, File.GetLastWriteTimeUtc(kept));
        var again = Json(output)["methods"]![1]!;
        Assert.Equal((double)rows[1]!["eval_loss"]!["mean"]!, (double)again["eval_loss"]!["mean"]!);
        // Other options are another comparison.
        Compare(tiny.Model, output, "lora", "--batch-size", "2").AssertSucceeds();
        Assert.NotEqual(time, File.GetLastWriteTimeUtc(kept));
    }

    [Fact]
    public void AFailedCellDoesNotLoseTheRest()
    {
        using var folder = new TemporaryFolder();
        var model = folder.File("model");
        Directory.CreateDirectory(model);
        foreach (var file in Directory.GetFiles(tiny.Model))
            File.Copy(file, Path.Combine(model, Path.GetFileName(file)));
        // Mistral has no place for biases.
        var config = Path.Combine(model, "config.json");
        File.WriteAllText(config, File.ReadAllText(config)
            .Replace("\"llama\"", "\"mistral\"", StringComparison.Ordinal)
            .Replace("LlamaForCausalLM", "MistralForCausalLM", StringComparison.Ordinal));
        var run = Compare(model, folder.File("out"), "bitfit,ia3").AssertSucceeds();
        Assert.Contains("failed: bitfit trains biases", run.Output, StringComparison.Ordinal);
        var rows = Json(folder.File("out"))["methods"]!.AsArray();
        Assert.Contains("bitfit trains biases", (string)rows[0]!["error"]!, StringComparison.Ordinal);
        Assert.NotNull(rows[1]!["eval_loss"]);
    }

    [Fact]
    public void AnUnknownMethodIsAUsageError()
    {
        using var folder = new TemporaryFolder();
        Compare(tiny.Model, folder.File("out"), "lora,magic").AssertFails(
            ExitCode.Usage, "--methods must be among lora, lora-plus", "'magic'");
    }

    [Fact]
    public void AMethodTakesTheRateThatIsGivenForIt()
    {
        using var folder = new TemporaryFolder();
        var output = folder.File("out");
        Compare(tiny.Model, output, "lora,ia3", "--learning-rate", "2e-4", "--learning-rates", "ia3=0.5")
            .AssertSucceeds();
        Assert.Contains("learning_rate: 0.0002", Arguments("lora-42"), StringComparison.Ordinal);
        Assert.Contains("learning_rate: 0.5", Arguments("ia3-43"), StringComparison.Ordinal);

        string Arguments(string run) => File.ReadAllText(Path.Combine(output, "runs", run, "training_args.yaml"));
    }

    [Theory]
    [InlineData("full=1e-3")] // not compared
    [InlineData("lora")]
    [InlineData("lora=0")]
    [InlineData("lora=fast")]
    public void AWrongRateIsAUsageError(string rate)
    {
        using var folder = new TemporaryFolder();
        Compare(tiny.Model, folder.File("out"), "lora,ia3", "--learning-rates", rate).AssertFails(
            ExitCode.Usage, "--learning-rates", $"'{rate}'");
    }

    private static JsonNode Json(string output) =>
        JsonNode.Parse(File.ReadAllText(Path.Combine(output, "compare.json")))!;

    private CliRun Compare(string model, string output, string methods, params string[] more) => CliRun.Of([
        "compare", "--model", model, "--data", tiny.Data, "--methods", methods, "--seeds", "2", "--max-steps", "2",
        "--exact-match-samples", "0", "--device", "cpu", "--output", output, .. more]);
}
