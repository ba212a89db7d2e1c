using System.Text.Json.Nodes;
using CudaLora.Cli;
using CudaLora.Lora;

namespace CudaLora.Tests;

/// <summary>Every method through the command line: trained, scored again from its folder, used, shown.</summary>
public sealed class MethodCommandTests(TinyModelFolder tiny) : IClassFixture<TinyModelFolder>
{
    public static TheoryData<string> Methods => [.. FineTuningMethods.All.Select(method => method.Name)];

    [Theory, MemberData(nameof(Methods))]
    public void AMethodTrainsAndItsFolderGivesTheSameModelBack(string method)
    {
        using var folder = new TemporaryFolder();
        var output = folder.File("out");
        // Rates for a model of random weights, whose logits are small.
        var rate = method is "prefix" or "prompt" or "p-tuning" or "ia3" or "vera" ? "1e-1" : "2e-2";
        var more = method == "vera" ? new[] { "--r", "8" } : [];
        Train(output, ["--method", method, "--learning-rate", rate, "--max-steps", "30", .. more]).AssertSucceeds();
        var summary = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "summary.json")))!;
        Assert.Equal(method, (string?)summary["method"]);
        var (before, after) = ((double)summary["eval_loss_before"]!, (double)summary["eval_loss_after"]!);
        Assert.True(after < before - 0.02, $"{before} to {after}");
        Assert.InRange((long)summary["trainable_parameters"]!, 1, (long)summary["total_parameters"]!);

        string[] trained = File.Exists(Path.Combine(output, LoraConfig.FileName))
            ? ["--model", tiny.Model, "--adapter", output]
            : ["--model", output];
        string[] bits = method == "qlora" ? ["--quantize", "nf4"] : [];
        // The held-out part of the run is not the whole data: what must be equal is the folder's own score, twice.
        var score = CliRun.Of(["eval", .. trained, .. bits, "--data", tiny.Data, "--json"]).AssertSucceeds();
        var again = JsonNode.Parse(score.Output)!;
        Assert.True((double)again["eval_loss"]! < before, score.Output);
        string[] prompt = ["--prompt", "Say red", "--template", "plain", "--temperature", "0", "--max-new-tokens", "4"];
        CliRun.Of(["generate", .. trained, .. bits, .. prompt]).AssertSucceeds();
        Assert.Contains("tensors, ", CliRun.Of("inspect", output).AssertSucceeds().Output, StringComparison.Ordinal);
        if (method == "adalora")
            Assert.Contains("layers.1", CliRun.Of("inspect", output).Output, StringComparison.Ordinal);
        if (trained.Length == 2 || method is "qlora")
            return;
        var merged = CliRun.Of(["merge", .. trained, "--output", folder.File("merged")]);
        if (method is "prefix" or "prompt" or "p-tuning")
        {
            merged.AssertFails(ExitCode.Failure, "num_virtual_tokens", "cannot be merged");
            return;
        }
        merged.AssertSucceeds();
        var plain = CliRun.Of("eval", "--model", folder.File("merged"), "--data", tiny.Data, "--json").AssertSucceeds();
        // Merging rounds each weight once to float32.
        Assert.Equal((double)again["eval_loss"]!, (double)JsonNode.Parse(plain.Output)!["eval_loss"]!, 1e-4);
    }

    [Theory]
    [InlineData("orthogonal")]
    [InlineData("pissa")]
    [InlineData("pissa_niter_4")]
    [InlineData("olora")]
    [InlineData("eva")]
    public void AnInitialisationTrainsAndResumesToTheSameFile(string init)
    {
        using var folder = new TemporaryFolder();
        var (whole, parts) = (folder.File("whole"), folder.File("parts"));
        string[] more = ["--init-lora-weights", init, "--r", "4", "--learning-rate", "1e-2"];
        Train(whole, ["--max-steps", "8", .. more]).AssertSucceeds();
        Train(parts, ["--max-steps", "8", "--save-steps", "4", .. more]).AssertSucceeds();
        Directory.Delete(Path.Combine(parts, "checkpoint-8"), recursive: true);
        File.Delete(Path.Combine(parts, "adapter_model.safetensors"));
        CliRun.Of(
            "train", "--config", Path.Combine(parts, "training_args.yaml"), "--resume-from-checkpoint", "true")
            .AssertSucceeds();
        Assert.Equal(
            File.ReadAllBytes(Path.Combine(whole, "adapter_model.safetensors")),
            File.ReadAllBytes(Path.Combine(parts, "adapter_model.safetensors")));
    }

    [Fact]
    public void TrainingGoesOnFromAnAdapterOfTheMethod()
    {
        using var folder = new TemporaryFolder();
        var (first, second) = (folder.File("first"), folder.File("second"));
        Train(first, "--method", "prefix", "--max-steps", "3").AssertSucceeds();
        Train(second, "--method", "prefix", "--adapter", first, "--max-steps", "3").AssertSucceeds();
        Assert.Equal(20, VirtualTokenConfig.Read(second).Count);
        Train(folder.File("x"), "--method", "adalora", "--adapter", first)
            .AssertFails(ExitCode.Usage, "--adapter needs --method lora, but the method is adalora");
    }

    [Theory]
    [InlineData("--init-r needs --method adalora, but the method is lora", "--init-r", "4")]
    [InlineData("--r needs --method lora, but the method is prefix", "--method", "prefix", "--r", "4")]
    [InlineData("--quantize needs --method lora", "--method", "bitfit", "--quantize", "nf4")]
    [InlineData("--packing cannot be combined with --num-virtual-tokens", "--method", "prompt", "--packing")]
    [InlineData("--prompt-tuning-init cannot be combined with --prefix-projection", "--method", "prefix",
        "--prefix-projection", "--prompt-tuning-init", "random")]
    [InlineData("--prompt-tuning-init-text needs --prompt-tuning-init text", "--method", "prompt",
        "--prompt-tuning-init-text", "a", "--prompt-tuning-init", "random")]
    [InlineData("--freeze-trainable-layers must be at most 2", "--method", "last-layers", "--freeze-trainable-layers",
        "3")]
    [InlineData("--init-lora-weights must be one of true, gaussian", "--init-lora-weights", "nice")]
    public void OptionsThatDoNotFitAreUsageErrors(string message, params string[] args)
    {
        using var folder = new TemporaryFolder();
        Train(folder.File("x"), args).AssertFails(ExitCode.Usage, message);
    }

    [Theory]
    [InlineData("--target-r must not be above --init-r", "--method", "adalora", "--target-r", "13")]
    [InlineData("--tinit must be below --max-steps - --tfinal", "--method", "adalora", "--max-steps", "10",
        "--tinit", "8", "--tfinal", "2")]
    [InlineData("--num-virtual-tokens must leave room in the model's context (max_position_embeddings)",
        "--method", "prefix", "--num-virtual-tokens", "100000")]
    [InlineData("--target-modules [embed_tokens] cannot be combined with --method dora", "--method", "dora",
        "--target-modules", "embed_tokens")]
    [InlineData("--target-modules .*embed.* cannot be combined with --use-dora", "--use-dora", "--quantize", "nf4",
        "--target-modules", ".*embed.*")]
    [InlineData("--target-modules [embed_tokens] cannot be combined with --method adalora", "--method", "adalora",
        "--target-modules", "embed_tokens")]
    [InlineData("--target-modules [embed_tokens] cannot be combined with --method vera", "--method", "vera",
        "--target-modules", "embed_tokens")]
    [InlineData("--use-dora cannot be combined with --init-lora-weights pissa", "--use-dora", "--init-lora-weights",
        "pissa")]
    [InlineData("--lora-bias cannot be combined with --use-dora", "--use-dora", "--lora-bias")]
    [InlineData("--init-lora-weights loftq needs --quantize nf4", "--init-lora-weights", "loftq")]
    [InlineData("--modules-to-save q_proj cannot be combined with --quantize nf4", "--quantize", "nf4",
        "--modules-to-save", "q_proj")]
    [InlineData("--modules-to-save q_proj cannot be combined with --quantize nf4", "--method", "adalora",
        "--quantize", "nf4", "--modules-to-save", "q_proj")]
    [InlineData("--modules-to-save q_proj cannot be combined with --quantize nf4", "--method", "vera",
        "--quantize", "nf4", "--modules-to-save", "q_proj")]
    [InlineData("--modules-to-save q_proj cannot be combined with --quantize nf4", "--method", "ia3",
        "--quantize", "nf4", "--modules-to-save", "q_proj")]
    [InlineData("--feedforward-modules [q_proj] must be among --target-modules", "--method", "ia3",
        "--feedforward-modules", "q_proj")]
    public void CombinationsThatCannotBeAreRefusedBeforeAnythingIsLoaded(string message, params string[] args)
    {
        using var folder = new TemporaryFolder();
        // No weights, and data that is none: they would be the first complaint if they were read.
        var model = folder.File("model");
        Directory.CreateDirectory(model);
        File.Copy(Path.Combine(tiny.Model, "config.json"), Path.Combine(model, "config.json"));
        var data = folder.Write("data.json", "nonsense");
        CliRun.Of(["train", "--model", model, "--data", data, "--output", folder.File("x"), .. args])
            .AssertFails(ExitCode.Usage, message);
    }

    [Fact]
    public void NoiseChangesTheRun()
    {
        using var folder = new TemporaryFolder();
        var (plain, noisy) = (folder.File("plain"), folder.File("noisy"));
        Train(plain, "--max-steps", "3").AssertSucceeds();
        Train(noisy, "--max-steps", "3", "--neftune-noise-alpha", "5").AssertSucceeds();
        Assert.NotEqual(
            File.ReadAllBytes(Path.Combine(plain, "adapter_model.safetensors")),
            File.ReadAllBytes(Path.Combine(noisy, "adapter_model.safetensors")));
    }

    private CliRun Train(string output, params string[] more) => CliRun.Of([
        "train", "--model", tiny.Model, "--data", tiny.Data, "--output", output, "--logging-steps", "5",
        "--device", "cpu", .. more]);
}
