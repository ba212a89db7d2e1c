using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora merge</c>.</summary>
internal sealed class MergeCommand() : CliCommand(
    "merge", "Add an adapter to its base model and save the sum as a normal model folder; without one, convert.",
    [new SettingGroup("Model", SharedSettings.Model, AdapterSettings.Adapter, Output, DType)],
    [
        "cudalora merge --model models/TinyStories-656K --adapter out/alpaca --output out/alpaca-merged",
        "cudalora merge --model out/base --dtype bfloat16 --output out/base-bf16",
    ])
{
    private static readonly Setting<string?> Output = Make.Text(
        "output", "Folder for the merged model", "out/merged", aka: ["output_dir", "export_dir"]);

    private static readonly Setting<string> DType = Make.Choice(
        "dtype", "How the weights are stored", "float32", ["float32", "bfloat16", "float16"]);

    protected override int Run(SettingValues values, Terminal terminal)
    {
        var (model, adapter, output) = (
            values.Require(SharedSettings.Model), values.Get(AdapterSettings.Adapter), values.Require(Output));
        if (adapter is null && !values.IsGiven(DType))
            throw new UsageException($"{AdapterSettings.Adapter.Flag} is needed, or {DType.Flag} to convert the model");
        foreach (var source in new[] { model, adapter ?? model })
        {
            if (Path.GetFullPath(source).TrimEnd('/') == Path.GetFullPath(output).TrimEnd('/'))
                throw new UsageException($"{Output.Flag} must be another folder than {source}");
        }
        using var loaded = LoadedModel.Load(model, "auto", adapter, _ => { });
        loaded.Adapter?.Merge();
        loaded.Model.Save(output, values.Get(DType) switch
        {
            "bfloat16" => SafetensorsDType.BF16,
            "float16" => SafetensorsDType.F16,
            _ => SafetensorsDType.F32,
        });
        loaded.Tokenizer.Save(output);
        if (loaded.Adapter is not null)
            terminal.Line($"merged {loaded.Adapter.Layers.Count} layers of {adapter} into {model}");
        terminal.Line($"written to {output}; try next:");
        terminal.Line("  " + Shell.Line("generate", "--model", output, "--prompt", "Once upon a time"));
        return ExitCode.Success;
    }
}
