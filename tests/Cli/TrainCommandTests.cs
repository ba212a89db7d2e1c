using System.Diagnostics;
using System.Text.Json.Nodes;
using CudaLora.Cli;
using CudaLora.Lora;

namespace CudaLora.Tests;

public sealed class TrainCommandTests(TinyModelFolder tiny) : IClassFixture<TinyModelFolder>
{
    private static readonly string[] SummaryFields =
    [
        "method", "eval_loss_before", "eval_loss_after", "exact_match_before", "exact_match_after", "train_runtime_s",
        "tokens_per_second", "trainable_parameters", "total_parameters", "peak_memory_bytes", "device", "seed",
        "command", "versions",
    ];

    [Fact]
    public void TrainingWritesAnAdapterAndItsReports()
    {
        using var folder = new TemporaryFolder();
        var output = folder.File("out");
        var run = Train(output, "--method", "lora", "--r", "4", "--modules-to-save", "embed_tokens").AssertSucceeds();
        foreach (var name in new[]
        {
            "adapter_config.json", "adapter_model.safetensors", "trainer_state.json", "trainer_log.jsonl",
            "training_loss.png",
            "training_loss.svg", "summary.json", "training_args.yaml",
        })
        {
            Assert.True(new FileInfo(Path.Combine(output, name)) is { Exists: true, Length: > 0 }, name);
        }
        Assert.All(["held out", "exact match", "expected", "try next:", "cudalora generate"], text =>
            Assert.Contains(text, run.Output, StringComparison.Ordinal));

        var summary = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "summary.json")))!;
        Assert.All(SummaryFields, field => Assert.True(summary[field] is not null, field));
        Assert.True((double)summary["eval_loss_after"]! < (double)summary["eval_loss_before"]! - 0.5,
            summary.ToJsonString());
        Assert.InRange((long)summary["trainable_parameters"]!, 1, (long)summary["total_parameters"]!);
        Assert.Equal(4, LoraConfig.Read(output).R);
        Assert.Equal(8, LoraConfig.Read(output).LoraAlpha);
    }

    [Fact]
    public void TheAdapterIsScoredGeneratedFromMergedAndInspected()
    {
        using var folder = new TemporaryFolder();
        var (output, merged) = (folder.File("out"), folder.File("merged"));
        Train(output).AssertSucceeds();
        var score = CliRun.Of("eval", "--model", tiny.Model, "--adapter", output, "--data", tiny.Data, "--json")
            .AssertSucceeds();
        CliRun.Of("merge", "--model", tiny.Model, "--adapter", output, "--output", merged).AssertSucceeds();
        var mergedScore = CliRun.Of("eval", "--model", merged, "--data", tiny.Data, "--json").AssertSucceeds();
        // Merging rounds W + s B A once to float32.
        Assert.Equal((double)JsonNode.Parse(score.Output)!["eval_loss"]!,
            (double)JsonNode.Parse(mergedScore.Output)!["eval_loss"]!, 1e-4);

        string[] prompt = ["--prompt", "Say red", "--template", "plain", "--temperature", "0", "--max-new-tokens", "8"];
        var text = CliRun.Of(["generate", "--model", tiny.Model, "--adapter", output, .. prompt]).AssertSucceeds();
        Assert.Equal(text.Output, CliRun.Of(["generate", "--model", merged, .. prompt]).AssertSucceeds().Output);

        var shown = CliRun.Of("inspect", output, "--model", tiny.Model).AssertSucceeds();
        Assert.Contains("LoRA, r 8, alpha 16", shown.Output, StringComparison.Ordinal);
        Assert.Contains("lora_A.weight", shown.Output, StringComparison.Ordinal);
        Assert.Contains("tensors, ", CliRun.Of("inspect", merged).AssertSucceeds().Output, StringComparison.Ordinal);
    }

    [Fact]
    public void AConfigFileAndFullTrainingMakeAModelFolder()
    {
        using var folder = new TemporaryFolder();
        var output = folder.File("out");
        var config = folder.Write(
            "run.yaml",
            $"model: {tiny.Model}\ndata: {tiny.Data}\noutput_dir: {output}\n"
            + "max_steps: 3\nmethod: full\neval_strategy: epoch\n");
        CliRun.Of("train", "--config", config, "--max-steps", "2").AssertSucceeds();
        Assert.Equal(2, TrainerState.Read(output).GlobalStep);
        using var model = CausalLM.Load(output);
        Assert.NotNull(Tokenizer.Load(output));
    }

    [Fact]
    public void ARunGoesOnWithTheCommandItPrints()
    {
        using var folder = new TemporaryFolder();
        var (whole, parts) = (folder.File("whole"), folder.File("parts"));
        Train(whole, "--lora-dropout", "0.1").AssertSucceeds();
        Train(parts, "--lora-dropout", "0.1", "--save-steps", "10").AssertSucceeds();
        Directory.Delete(Path.Combine(parts, "checkpoint-20"), recursive: true);
        File.Delete(Path.Combine(parts, "adapter_model.safetensors"));
        var run = CliRun.Of(
            "train", "--config", Path.Combine(parts, "training_args.yaml"), "--resume-from-checkpoint", "true")
            .AssertSucceeds();
        Assert.Contains("going on after step 10", run.Output, StringComparison.Ordinal);
        Assert.Equal(
            File.ReadAllBytes(Path.Combine(whole, "adapter_model.safetensors")),
            File.ReadAllBytes(Path.Combine(parts, "adapter_model.safetensors")));
    }

    [Fact]
    public void PretrainingMakesAModelFolder()
    {
        using var folder = new TemporaryFolder();
        var output = folder.File("out");
        CliRun.Of(
            "pretrain", "--size", "nano", "--tokenizer", tiny.Model, "--data", tiny.Data, "--max-steps", "3",
            "--output", output)
            .AssertSucceeds();
        CliRun.Of("generate", "--model", output, "--prompt", "Say", "--max-new-tokens", "3", "--no-stream")
            .AssertSucceeds();
    }

    [Fact]
    public async Task CtrlCSavesAndSaysHowToGoOn()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs POSIX signals");
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromMinutes(2));
        using var folder = new TemporaryFolder();
        var output = folder.File("out");
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true };
        string[] args = [typeof(TrainSettings).Assembly.Location, .. Arguments(output), "--max-steps", "1000000"];
        foreach (var arg in args) start.ArgumentList.Add(arg);
        using var process = Process.Start(start)!;
        var lines = new List<string>();
        using var end = limit.Token.Register(process.Kill);
        var asked = false;
        while (await process.StandardOutput.ReadLineAsync(limit.Token) is { } line)
        {
            lines.Add(line);
            if (asked || !line.StartsWith("step ", StringComparison.Ordinal)) continue;
            asked = true;
            // Not SIGINT: a test run started in the background ignores it, and so would the child.
            using var kill = Process.Start("kill", ["-TERM", $"{process.Id}"]);
        }
        await process.WaitForExitAsync(limit.Token);
        var text = string.Join('\n', lines);
        Assert.True(process.ExitCode == ExitCode.Interrupted, $"{process.ExitCode}: {text}");
        Assert.Contains("--resume-from-checkpoint true", text, StringComparison.Ordinal);
        Assert.NotEmpty(Directory.GetDirectories(output, "checkpoint-*"));
    }

    private CliRun Train(string output, params string[] more) =>
        CliRun.Of([.. Arguments(output), "--max-steps", "20", .. more]);

    private string[] Arguments(string output) =>
    [
        "train", "--model", tiny.Model, "--data", tiny.Data, "--output", output, "--learning-rate", "2e-2",
        "--logging-steps", "5",
        "--eval-steps", "10",
    ];
}
