using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora merge</c>.</summary>
internal sealed class MergeCommand() : CliCommand(
    "merge", "Add an adapter to its base model and save the sum as a normal model folder; without one, convert.",
    [new SettingGroup("Model", SharedSettings.BaseModel, AdapterSettings.Adapter, Output, DType)],
    [
        "cudalora merge --model models/TinyStories-656K --adapter out/alpaca --output out/alpaca-merged",
        "cudalora merge --model out/base --dtype bfloat16 --output out/base-bf16",
    ])
{
    private static readonly Setting<string?> Output = Make.Text(
        "output", "Folder for the merged model", "out/merged", aka: ["output_dir", "export_dir"]);

    private static readonly Setting<string> DType = Make.Choice(
        "dtype", "How the weights are stored", "float32", ["float32", "bfloat16", "float16"],
        shown: "float32, bfloat16 if the base is 4-bit");

    protected override int Run(SettingValues values, Terminal terminal)
    {
        var (adapter, output) = (values.Get(AdapterSettings.Adapter), values.Require(Output));
        if (adapter is null && !values.IsGiven(DType))
            throw new UsageException($"{AdapterSettings.Adapter.Flag} is needed, or {DType.Flag} to convert the model");
        var model = BundledExample.RequireModel(values.Get(SharedSettings.BaseModel), adapter);
        foreach (var source in new[] { model, adapter ?? model })
        {
            if (Path.GetFullPath(source).TrimEnd('/') == Path.GetFullPath(output).TrimEnd('/'))
                throw new UsageException($"{Output.Flag} must be another folder than {source}");
        }
        OutputFolder.CheckForModel(output);
        using var loaded = LoadedModel.Load(model, "auto", adapter, _ => { });
        var wasQuantized = loaded.Model.Quantization is not null;
        loaded.Adapter?.Merge();
        // The layers without adapter too: the result is a normal model folder.
        foreach (var linear in loaded.Model.Linears()) linear.Dequantize();
        var dtype = wasQuantized && !values.IsGiven(DType) ? "bfloat16" : values.Get(DType);
        if (wasQuantized) terminal.Line(
            $"note: the base is 4-bit; its values plus the adapter are rounded to {dtype}, so answers may differ "
            + "slightly from those of the 4-bit base with the adapter");
        loaded.Model.Save(output, dtype switch
        {
            "bfloat16" => SafetensorsDType.BF16,
            "float16" => SafetensorsDType.F16,
            _ => SafetensorsDType.F32,
        });
        loaded.Tokenizer.Save(output);
        if (loaded.Adapter is not null)
            terminal.Line($"merged {adapter} ({loaded.Adapter.Description}) into {model}");
        terminal.Line($"written to {output}; try next:");
        terminal.Line("  " + Shell.Line("generate", "--model", output, "--prompt", "Once upon a time"));
        return ExitCode.Success;
    }
}
