using CudaLora.Cli;
using CudaLora.Lora;

namespace CudaLora.Tests;

/// <summary>Mistakes of users: one line that says what to change, and no trace.</summary>
public sealed class BadInputTests(TinyModelFolder tiny) : IClassFixture<TinyModelFolder>
{
    [Theory]
    [InlineData("--learning-rate must be a number of at least 0, but got 'fast'", "--learning-rate", "fast")]
    [InlineData("unknown option '--max-stesp'; did you mean '--max-steps'?", "--max-stesp", "3")]
    [InlineData(
        "--lora-strategy must be auto, composed, block, fused or mma, but got 'best'", "--lora-strategy", "best")]
    [InlineData("--device must be auto, cpu, cuda or emulator, but got 'tpu'", "--device", "tpu")]
    [InlineData("--val-size must be a share below 1 or a whole number of at least 0, but got '1.5'", "--val-size",
        "1.5")]
    [InlineData("--threads must be a whole number from 1 to 1024, but got '100000'", "--threads", "100000")]
    [InlineData("--r must be at most 256 with a hidden_size of 32, but is 100000", "--r", "100000")]
    [InlineData("--r needs --method lora, but the method is full", "--method", "full", "--r", "4")]
    [InlineData("--r cannot be changed", "--adapter", "x", "--r", "4")]
    [InlineData("--warmup-steps and --warmup-ratio say the same", "--warmup-steps", "1", "--warmup-ratio", "0.1")]
    [InlineData("--target-modules must be names or a regular expression, but got '(q'", "--target-modules", "(q")]
    public void BadOptionsAreUsageErrors(string message, params string[] args) =>
        Train(args).AssertFails(ExitCode.Usage, message);

    [Fact]
    public void AMissingModelFolderIsNamed() =>
        CliRun.Of("train", "--model", "no/such", "--data", tiny.Data)
        .AssertFails(ExitCode.Failure, "no/such", "does not exist");

    [Fact]
    public void AnEmptyModelFolderIsNamed()
    {
        using var folder = new TemporaryFolder();
        CliRun.Of("generate", "--model", folder.Path, "--prompt", "x")
            .AssertFails(ExitCode.Failure, folder.Path, "config.json");
    }

    [Fact]
    public void AMissingDataFileIsNamed() =>
        Train("--data", "no/such.json").AssertFails(ExitCode.Failure, "no/such.json");

    [Fact]
    public void AnEmptyDataSetIsNamed()
    {
        using var folder = new TemporaryFolder();
        Train("--data", folder.Write("empty.json", "[]"))
            .AssertFails(ExitCode.Failure, "empty.json", "at least one record");
    }

    [Theory]
    [InlineData("bytes.jsonl", "line 2 must be UTF-8")]
    [InlineData("bytes.txt", "line 2 must be UTF-8")]
    public void TextThatIsNotUtf8IsNamedWithItsLine(string name, string message)
    {
        using var folder = new TemporaryFolder();
        var path = folder.File(name);
        File.WriteAllBytes(path, [.. "{\"text\":\"red\"}\n{\"text\":\""u8, 0xE9, .. "\"}\n"u8]);
        Train("--data", path).AssertFails(ExitCode.Failure, name, message);
    }

    [Theory]
    [InlineData("[{\"instruction\":\"a\",\"output\":\"\"}]", "none has a response or text to learn")]
    [InlineData("[{}]", "but has no fields")]
    public void RecordsWithNothingToLearnAreSaidToBe(string json, string message)
    {
        using var folder = new TemporaryFolder();
        Train("--data", folder.Write("data.json", json)).AssertFails(ExitCode.Failure, "data.json", message);
    }

    [Fact]
    public void AnyUsualRankIsAccepted()
    {
        using var folder = new TemporaryFolder();
        CliRun.Of(
            "train", "--model", tiny.Model, "--data", tiny.Data, "--max-steps", "1", "--r", "256", "--output",
            folder.File("out")).AssertSucceeds();
    }

    [Fact]
    public void AConfigThatIsNotJsonIsNamedWithItsLine()
    {
        using var folder = new TemporaryFolder();
        folder.Write("config.json", "{\n \"model_type\": \"llama\",\n \"hidden_size\": oops\n}");
        CliRun.Of("generate", "--model", folder.Path, "--prompt", "x")
            .AssertFails(ExitCode.Failure, "config.json", "line 3, byte 17");
    }

    [Fact]
    public void AMalformedLineIsNamedWithItsNumber()
    {
        using var folder = new TemporaryFolder();
        var data = folder.Write("bad.jsonl", "{\"instruction\":\"a\",\"output\":\"b\"}\n{\"instruction\": oops\n");
        Train("--data", data).AssertFails(ExitCode.Failure, "bad.jsonl", "line 2");
    }

    [Fact]
    public void AnUnknownTargetModuleListsThoseThereAre() =>
        Train("--target-modules", "q_prj").AssertFails(ExitCode.Failure, "q_prj", "q_proj", "down_proj");

    [Fact]
    public void AnOutputThatCannotBeWrittenIsNamed()
    {
        using var folder = new TemporaryFolder();
        var file = folder.Write("file", "x");
        Train("--output", file).AssertFails(ExitCode.Failure, file, "must be a folder");
        Train("--output", Path.Combine(file, "out")).AssertFails(ExitCode.Failure, file);
    }

    [Fact]
    public void APromptLongerThanTheContextIsRefusedWithBothLengths() =>
        CliRun.Of("generate", "--model", tiny.Model, "--prompt", string.Concat(Enumerable.Repeat("red green ", 100)))
            .AssertFails(ExitCode.Failure, "context of 64 tokens");

    [Fact]
    public void AnAdapterForAnotherBaseIsRefusedWithNamesAndShapes()
    {
        using var folder = new TemporaryFolder();
        var other = folder.File("other");
        var tokenizer = Tokenizer.Load(tiny.Model);
        TinyModelFolder.MakeModel(other, tokenizer, hidden: 64);
        tokenizer.Save(other);
        var adapter = folder.File("adapter");
        CliRun.Of("train", "--model", other, "--data", tiny.Data, "--max-steps", "1", "--output", adapter)
            .AssertSucceeds();
        CliRun.Of("generate", "--model", tiny.Model, "--adapter", adapter, "--prompt", "x")
            .AssertFails(ExitCode.Failure, "lora_A", "(8, 64)", "(8, 32)");
    }

    [Fact]
    public void AFolderThatIsNeitherModelNorAdapterIsNamed()
    {
        using var folder = new TemporaryFolder();
        CliRun.Of("inspect", folder.Path).AssertFails(ExitCode.Failure, folder.Path, "config.json");
        CliRun.Of("inspect", folder.File("none")).AssertFails(ExitCode.Failure, "no such file or folder");
    }

    [Fact]
    public void HoldingOutEveryRecordIsRefused() =>
        Train("--val-size", "1000").AssertFails(ExitCode.Failure, "--val-size", "48 records");

    [Fact]
    public void MergingOverTheBaseIsRefused() =>
        CliRun.Of("merge", "--model", tiny.Model, "--adapter", "x", "--output", tiny.Model + "/")
            .AssertFails(ExitCode.Usage, "--output must be another folder");

    private CliRun Train(params string[] more)
    {
        using var folder = new TemporaryFolder();
        var output = more.Contains("--output") ? Array.Empty<string>() : ["--output", folder.File("out")];
        var data = more.Contains("--data") ? Array.Empty<string>() : ["--data", tiny.Data];
        return CliRun.Of(["train", "--model", tiny.Model, "--max-steps", "1", .. data, .. output, .. more]);
    }
}
