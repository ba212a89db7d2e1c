using System.Text.Json;
using CudaLora.Cli;

namespace CudaLora.Tests;

/// <summary>4-bit models through the command line.</summary>
public sealed class QuantizeCommandTests(TinyModelFolder tiny) : IClassFixture<TinyModelFolder>, IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Quantize_ThenTrain_ThenMerge()
    {
        var nf4 = folder.File("nf4");
        var made = CliRun.Of("quantize", "--model", tiny.Model, "--output", nf4, "--double-quant").AssertSucceeds();
        Assert.Contains("nf4, blocks of 64, double quantisation: 14 layers", made.Output);
        Assert.Contains("4.127 per 4-bit weight", made.Output);
        CliRun.Of(
            "train", "--model", nf4, "--data", tiny.Data, "--max-steps", "4", "--output", folder.File("qlora"),
            "--exact-match-samples", "0").AssertSucceeds();
        using var summary = JsonDocument.Parse(File.ReadAllText(folder.File("qlora/summary.json")));
        Assert.Equal("qlora", summary.RootElement.GetProperty("method").GetString());
        Assert.Equal(
            "nf4, blocks of 64, double quantisation", summary.RootElement.GetProperty("quantization").GetString());
        var merged = CliRun.Of(
            "merge", "--model", nf4, "--adapter", folder.File("qlora"), "--output", folder.File("merged"))
            .AssertSucceeds();
        Assert.Contains("rounded to bfloat16", merged.Output);
        var shown = CliRun.Of("inspect", folder.File("merged")).AssertSucceeds();
        Assert.Contains("BF16", shown.Output);
        Assert.DoesNotContain("per 4-bit weight", shown.Output);
        CliRun.Of(
            "generate", "--model", nf4, "--adapter", folder.File("qlora"), "--prompt", "red", "--max-new-tokens", "4")
            .AssertSucceeds();
    }

    [Fact]
    public void Inspect_ShowsBitsErrorsAndMemory()
    {
        var nf4 = folder.File("nf4");
        CliRun.Of("quantize", "--model", tiny.Model, "--output", nf4).AssertSucceeds();
        var shown = CliRun.Of(
            "inspect", nf4, "--model", tiny.Model, "--batch-size", "2", "--max-length", "32", "--r", "4")
            .AssertSucceeds();
        Assert.Contains("nf4, blocks of 64: 14 layers", shown.Output);
        Assert.Contains("4.500 per 4-bit weight", shown.Output);
        Assert.Matches(@"model\.layers\.1\.mlp\.up_proj\.weight +2,048 +\d\.\d %", shown.Output);
        Assert.Contains("predicted: batch 2, length 32", shown.Output);
        Assert.Matches("adapter r 4, 4-bit +[0-9,]+ KiB", shown.Output);
        Assert.DoesNotContain("every weight", shown.Output);
        shown = CliRun.Of("inspect", tiny.Model).AssertSucceeds();
        Assert.Contains("every weight", shown.Output);
        Assert.DoesNotContain("per 4-bit weight", shown.Output);
    }

    // The same codes whether they come from a folder or are made on load: so the same training, to the bit.
    [Fact]
    public void QuantizeOnLoad_TrainsAsTheFolderDoes()
    {
        CliRun.Of("quantize", "--model", tiny.Model, "--output", folder.File("nf4"), "--block-size", "32")
            .AssertSucceeds();
        string[] run = ["--data", tiny.Data, "--max-steps", "6", "--exact-match-samples", "0"];
        CliRun.Of(["train", "--model", folder.File("nf4"), .. run, "--output", folder.File("a")]).AssertSucceeds();
        CliRun.Of(
            ["train", "--model", tiny.Model, "--quantize", "nf4", "--quant-block-size", "32", .. run, "--output",
            folder.File("b")]).AssertSucceeds();
        Assert.Equal(
            File.ReadAllBytes(folder.File("a/adapter_model.safetensors")),
            File.ReadAllBytes(folder.File("b/adapter_model.safetensors")));
    }

    [Fact]
    public void LoftQ_StartsBetterThanZero()
    {
        string[] run =
            ["train", "--model", tiny.Model, "--quantize", "nf4", "--data", tiny.Data, "--max-steps", "2",
            "--exact-match-samples", "0"];
        CliRun.Of([.. run, "--output", folder.File("a"), "--init-lora-weights", "loftq"]).AssertSucceeds();
        // A saved adapter brings its values; what it began as is nobody's business any more.
        Assert.Contains("\"init_lora_weights\": true", File.ReadAllText(folder.File("a/adapter_config.json")));
        CliRun.Of(
            "train", "--model", tiny.Model, "--data", tiny.Data, "--max-steps", "2", "--output", folder.File("b"),
            "--init-lora-weights", "loftq").AssertFails(
            ExitCode.Usage, "--init-lora-weights loftq needs --quantize nf4");
    }

    [Fact]
    public void BadInput_IsOneLine()
    {
        var nf4 = folder.File("nf4");
        CliRun.Of("quantize", "--model", tiny.Model, "--output", nf4).AssertSucceeds();
        CliRun.Of("quantize", "--model", nf4, "--output", folder.File("twice"))
            .AssertFails(1, "is 4-bit already (nf4)");
        CliRun.Of("train", "--model", nf4, "--quantize", "nf4", "--data", tiny.Data, "--output", folder.File("x"))
            .AssertFails(1, "is 4-bit already (nf4)");
        CliRun.Of("quantize", "--model", tiny.Model, "--output", folder.File("x"), "--quant-type", "int4")
            .AssertFails(2, "--quant-type must be nf4, but got 'int4'");
        CliRun.Of("train", "--model", tiny.Model, "--quantize", "int4", "--output", folder.File("x"))
            .AssertFails(2, "--quantize must be none or nf4, but got 'int4'");
        foreach (var size in new[] { "48", "16", "8192", "x" })
            CliRun.Of("quantize", "--model", tiny.Model, "--output", folder.File("x"), "--block-size", size)
                .AssertFails(2, $"--block-size must be a power of two from 32 to 4096, but got '{size}'");
        CliRun.Of("train", "--model", tiny.Model, "--double-quant", "--data", tiny.Data, "--output", folder.File("x"))
            .AssertFails(2, "--double-quant needs --quantize nf4");
        CliRun.Of(
            "train", "--model", tiny.Model, "--quantize", "nf4", "--method", "full", "--data", tiny.Data, "--output",
            folder.File("x")).AssertFails(2, "--quantize needs --method lora");
        CliRun.Of("train", "--model", nf4, "--method", "full", "--data", tiny.Data, "--output", folder.File("x"))
            .AssertFails(1, "full training needs weights of floats");
        CliRun.Of("quantize", "--model", tiny.Model, "--output", tiny.Model)
            .AssertFails(2, "--output must be another folder");
    }
}
