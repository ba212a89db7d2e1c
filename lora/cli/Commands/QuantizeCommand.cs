using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora quantize</c>.</summary>
internal sealed class QuantizeCommand() : CliCommand(
    "quantize", "Save a model with 4-bit linear layers, as bitsandbytes stores them: a base for QLoRA.",
    [
        new SettingGroup(
            "Model", SharedSettings.Model, Output, QuantizeSettings.Type, QuantizeSettings.BlockSize,
            QuantizeSettings.DoubleQuant, Rows),
        new SettingGroup("Machine", SharedSettings.Threads),
    ],
    [
        "cudalora quantize --model models/TinyStories-656K --output out/nf4 --double-quant",
        "cudalora train --model out/nf4 --data data/alpaca.json --output out/qlora",
    ])
{
    private static readonly Setting<string?> Output = Make.Text(
        "output", "Folder for the 4-bit model", "out/nf4", aka: ["output_dir", "export_dir"]);

    private static readonly Setting<int> Rows = Make.Int("rows", "Layers listed with their error; 0 all", 20, "0", 0);

    protected override int Run(SettingValues values, Terminal terminal)
    {
        var (model, output) = (values.Require(SharedSettings.Model), values.Require(Output));
        if (Path.GetFullPath(model).TrimEnd('/') == Path.GetFullPath(output).TrimEnd('/'))
            throw new UsageException($"{Output.Flag} must be another folder than {model}");
        OutputFolder.CheckForModel(output);
        if (values.Get(SharedSettings.Threads) is int threads) Kernels.Simd.Workers.Count = threads;
        var errors = new List<QuantizationError>();
        using var loaded = LoadedModel.Load(
            model, "auto", null, _ => { }, quantization: QuantizeSettings.Options(values), quantized: errors.Add);
        // What stays in floats keeps its type.
        loaded.Model.Save(output, loaded.Model.Quantization!.ValueType);
        loaded.Tokenizer.Save(output);
        QuantizationTable.PrintErrors(terminal, errors, values.Get(Rows));
        terminal.Line();
        using (var weights = SafetensorsSet.Open(output))
            QuantizationTable.PrintSizes(terminal, WeightSizes.Of(weights));
        terminal.Line($"written to {output}; try next:");
        terminal.Line("  " + Shell.Line("train", "--model", output, "--data", "data.json", "--output", "out/qlora"));
        terminal.Line("  " + Shell.Line("inspect", output, "--model", model));
        return ExitCode.Success;
    }
}
