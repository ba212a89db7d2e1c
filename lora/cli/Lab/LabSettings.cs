using CudaLora.Kernels.Simd;

namespace CudaLora.Cli;

/// <summary>The settings of every experiment.</summary>
internal static class LabSettings
{
    private static readonly Setting<string?> Model = Make.Text(
        "model", "Model folder in Hugging Face layout", "models/TinyStories-656K", aka: ["model_name_or_path"],
        shown: "the bundled model");

    private static readonly Setting<string?> Data = Make.Text(
        "data", "Training records", "data/alpaca.json", aka: ["dataset"], shown: "the bundled instructions");

    private static readonly Setting<string?> EvalData = Make.Text(
        "eval_data", "Held-out records", "data/held.json", shown: "the bundled ones, else every tenth of the data");

    private static readonly Setting<bool> Quick = Make.Switch(
        "quick", "One seed instead of three, and fewer steps: seconds instead of minutes");

    private static readonly Setting<int?> Steps = Make.MaybeInt(
        "max_steps", "Optimiser steps of each training", "100", 1, "what the experiment needs");

    private static readonly Setting<string?> Output = Make.Text(
        "output_dir", "Folder for numbers and pictures", "out/lab", "out/lab", aka: ["output"]);

    public static IReadOnlyList<SettingGroup> Groups { get; } =
    [
        new SettingGroup("Experiment", Model, Data, EvalData, Quick, Steps, TrainSettings.Seed),
        new SettingGroup("Output", Output, SharedSettings.Threads),
    ];

    public static (LabOptions Options, string Output) Read(SettingValues values, Terminal terminal)
    {
        if (values.Get(SharedSettings.Threads) is int threads) Workers.Count = threads;
        var data = BundledExample.RequireData(values.Get(Data));
        var held = values.Get(EvalData) ?? (values.Get(Data) is null ? BundledExample.EvalData : null);
        var options = new LabOptions(
            BundledExample.RequireModel(values.Get(Model)), data, held, values.Get(TrainSettings.Seed),
            values.Get(Quick), values.Get(Steps), message => terminal.Error.WriteLine(message));
        var output = values.Require(Output);
        Directory.CreateDirectory(output);
        return (options, output);
    }
}
