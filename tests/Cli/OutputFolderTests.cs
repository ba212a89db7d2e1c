using CudaLora.Cli;
using CudaLora.Engine;

namespace CudaLora.Tests;

/// <summary>What is on disk stays as it is unless the user says otherwise.</summary>
public sealed class OutputFolderTests(TinyModelFolder tiny) : IClassFixture<TinyModelFolder>
{
    [Fact]
    public void ARunThatIsNotFinished_IsLeftAsItIs()
    {
        using var folder = new TemporaryFolder();
        var output = folder.File("out");
        Train(output, "2").AssertSucceeds();
        File.Delete(Path.Combine(output, "summary.json")); // as after an interruption
        var weights = File.ReadAllBytes(Path.Combine(output, "adapter_model.safetensors"));
        Train(output, "1").AssertFails(
            ExitCode.Failure, output, "not finished", "--resume-from-checkpoint true", "--overwrite-output-dir");
        Assert.Equal(weights, File.ReadAllBytes(Path.Combine(output, "adapter_model.safetensors")));
        Assert.True(Directory.Exists(Path.Combine(output, "checkpoint-2")));
        Train(output, "2", "--resume-from-checkpoint", "true").AssertSucceeds();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ARunThatIsReplaced_LeavesNoCheckpoint(bool isFinished)
    {
        using var folder = new TemporaryFolder();
        var output = folder.File("out");
        Train(output, "2").AssertSucceeds();
        if (!isFinished) File.Delete(Path.Combine(output, "summary.json"));
        var second = isFinished ? Train(output, "1") : Train(output, "1", "--overwrite-output-dir");
        second.AssertSucceeds();
        Assert.Contains("held another run, which this one replaces", second.Output);
        // The older run's would be the newest by its number, and what --resume-from-checkpoint true goes on from.
        Assert.Equal(
            ["checkpoint-1"], Directory.GetDirectories(output, "checkpoint-*").Select(Path.GetFileName));
    }

    [Fact]
    public void BestOfNDoesNotWriteOverItsData()
    {
        using var folder = new TemporaryFolder();
        var data = folder.Write("prompts.jsonl", "{\"prompt\":\"red\"}\n");
        CliRun.Of("best-of-n", "--model", tiny.Model, "--data", data, "--reward", "short", "--output", data)
            .AssertFails(ExitCode.Usage, "--output must be another file", data);
        Assert.Equal("{\"prompt\":\"red\"}\n", File.ReadAllText(data));
        CliRun.Of("best-of-n", "--model", tiny.Model, "--data", data, "--reward", "short", "--output", folder.Path)
            .AssertFails(ExitCode.Failure, "must be a file, but is a folder");
    }

    [Fact]
    public void AModelIsNotWrittenIntoAnAdapter()
    {
        using var folder = new TemporaryFolder();
        var adapter = folder.File("adapter");
        Train(adapter, "1").AssertSucceeds();
        CliRun.Of("quantize", "--model", tiny.Model, "--output", adapter)
            .AssertFails(ExitCode.Failure, adapter, "holds an adapter");
        CliRun.Of("merge", "--model", tiny.Model, "--dtype", "bfloat16", "--output", adapter)
            .AssertFails(ExitCode.Failure, adapter, "holds an adapter");
        CliRun.Of("quantize", "--model", tiny.Model, "--output", folder.Write("file", "x"))
            .AssertFails(ExitCode.Failure, "must be a folder, but is a file");
        Assert.False(File.Exists(Path.Combine(adapter, "config.json")));
    }

    [Fact]
    public void AnAdapterOfAModelThatIsNotHereAsksForItsModel()
    {
        using var folder = new TemporaryFolder();
        var adapter = folder.File("adapter");
        Train(adapter, "1").AssertSucceeds();
        var config = Path.Combine(adapter, "adapter_config.json");
        var fields = System.Text.Json.Nodes.JsonNode.Parse(File.ReadAllText(config))!;
        fields["base_model_name_or_path"] = "someone/model-7b";
        File.WriteAllText(config, fields.ToJsonString());
        CliRun.Of("generate", "--adapter", adapter, "--prompt", "red")
            .AssertFails(ExitCode.Failure, adapter, "someone/model-7b", "--model");
        CliRun.Of("generate", "--adapter", adapter, "--model", tiny.Model, "--prompt", "red").AssertSucceeds();
    }

    [Fact]
    public void AnOutputThatTakesNoMoreIsSaidInOneLine()
    {
        using var error = new StringWriter();
        var code = CudaLora.Cli.Cli.Run(["devices"], new Terminal(new OutputWriter(new FullWriter()), error));
        Assert.Equal(ExitCode.Failure, code);
        Assert.Equal("error: standard output cannot be written: disk full", error.ToString().Trim());
        var closed = new Terminal(new FullWriter(), new FullWriter());
        Assert.Equal(ExitCode.Usage, CudaLora.Cli.Cli.Run(["devices", "--bogus"], closed));
    }

    private CliRun Train(string output, string steps, params string[] more) => CliRun.Of(
        ["train", "--model", tiny.Model, "--data", tiny.Data, "--max-steps", steps, "--exact-match-samples", "0",
            "--output", output, .. more]);

    private sealed class FullWriter : StringWriter
    {
        public override void Write(char value) => throw new IOException("disk full");

        public override void Write(string? value) => throw new IOException("disk full");

        public override void Write(char[] buffer, int index, int count) => throw new IOException("disk full");

        public override void WriteLine(string? value) => throw new IOException("disk full");

        public override void Flush() => throw new IOException("disk full");
    }
}
