using System.CommandLine;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora inspect</c>: a model folder, an adapter folder or a safetensors file. Reads headers
/// only, unless the errors of a 4-bit model are asked for.</summary>
internal sealed class InspectCommand : CliCommand
{
    private static readonly Setting<string?> Base = Make.Text(
        "model", "An adapter's base model, to show its share; or what a 4-bit model was made from, to show its errors",
        "models/TinyStories-656K");

    private static readonly Setting<int> Batch = Make.Int(
        "batch_size", "Rows per batch of the memory estimate", 8, "16", 1);

    private static readonly Setting<int?> Length = Make.MaybeInt(
        "max_length", "Tokens per row of the memory estimate", "512", 2, "the model's context, at most 1024");

    private static readonly Setting<int> Rows = Make.Int("rows", "Tensors listed; 0 all", 40, "0", 0);

    private static readonly Argument<string> PathArgument = new("PATH")
    {
        Description = "Model folder, adapter folder or .safetensors file",
    };

    public InspectCommand() : base(
        "inspect", "Show what is in a model folder, an adapter folder or a .safetensors file.",
        [
            new SettingGroup("Options", Base, Rows),
            new SettingGroup(
                "Memory of a training step", Batch, Length, AdapterSettings.Rank, TrainSettings.Checkpointing,
                TrainSettings.Optim),
        ],
        [
            "cudalora inspect models/TinyStories-656K", "cudalora inspect out/alpaca --model models/TinyStories-656K",
            "cudalora inspect out/nf4 --model models/TinyStories-656K --batch-size 16 --max-length 256",
        ]) =>
        Take(PathArgument);

    protected override int Run(SettingValues values, Terminal terminal)
    {
        var path = values.Argument!;
        var rows = values.Get(Rows);
        if (File.Exists(path))
        {
            using var file = SafetensorsFile.Open(path);
            foreach (var (name, text) in file.Metadata)
                terminal.Line($"metadata  {name}: {Figures.OneLine(text, terminal.Width - 20)}");
            TensorTable.Print(terminal, file.Entries.Values, rows);
            return ExitCode.Success;
        }
        if (!Directory.Exists(path)) throw new UserErrorException($"{path}: there is no such file or folder");
        if (File.Exists(Path.Combine(path, LoraConfig.FileName))) PrintAdapter(terminal, path, values.Get(Base), rows);
        else if (File.Exists(Path.Combine(path, "config.json"))) PrintModel(values, terminal, path);
        else throw NeitherKind(path);
        return ExitCode.Success;
    }

    private static UserErrorException NeitherKind(string path) =>
        new($"{path}: must hold config.json (a model) or {LoraConfig.FileName} (an adapter), but has neither");

    private static void PrintModel(SettingValues values, Terminal terminal, string folder)
    {
        var config = ModelConfig.Read(folder);
        using var weights = SafetensorsSet.Open(folder);
        terminal.Line($"model       {config.ModelType}, {config.Layers} layers, width {config.HiddenSize}, "
            + $"MLP {config.IntermediateSize}");
        terminal.Line(
            $"attention   {config.Heads} heads of {config.HeadDim}, {config.KeyValueHeads} for keys and values");
        var tied = config.TieWordEmbeddings ? ", output tied to the embedding" : "";
        terminal.Line($"vocabulary  {Figures.Count(config.VocabSize)}{tied}");
        terminal.Line($"context     {Figures.Count(config.MaxPositions)} tokens");
        var rows = values.Get(Rows);
        var sizes = WeightSizes.Of(weights);
        terminal.Line($"parameters  {Figures.Count(sizes.Parameters)}");
        QuantizationTable.PrintSizes(terminal, sizes);
        TensorTable.Print(terminal, weights.Tensors.Values.Select(t => t.Entry), rows);
        if (values.Get(Base) is { } original)
            QuantizationTable.PrintErrors(terminal, WeightSizes.Errors(weights, original, config), rows);
        var length = values.Get(Length) ?? Math.Min(1024, config.MaxPositions);
        MemoryTable.Print(terminal, config, sizes, new StepSize(
            values.Get(Batch), length, values.Get(AdapterSettings.Rank), values.Get(TrainSettings.Checkpointing),
            TrainSettings.IsEightBit(values), OptimizerNames.IsPaged(values.Get(TrainSettings.Optim))));
    }

    private static void PrintAdapter(Terminal terminal, string folder, string? baseFolder, int rows)
    {
        AdapterTable.Print(terminal, folder);
        using var weights = SafetensorsSet.Open(folder, "adapter_model");
        var parameters = Values(weights);
        terminal.Line($"parameters  {Figures.Count(parameters)}{Share(parameters, baseFolder)}");
        TensorTable.Print(terminal, weights.Tensors.Values.Select(t => t.Entry), rows);
    }

    private static string Share(long parameters, string? baseFolder)
    {
        if (baseFolder is null) return "";
        using var weights = SafetensorsSet.Open(baseFolder);
        var all = Values(weights) + parameters;
        return $" trained of {Figures.Count(all)} ({Figures.Short(100.0 * parameters / all)} %)";
    }

    private static long Values(SafetensorsSet weights) => weights.Tensors.Values.Sum(t => t.Entry.Count);
}
