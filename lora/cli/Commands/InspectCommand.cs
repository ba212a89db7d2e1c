using System.CommandLine;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora inspect</c>: a model folder, an adapter folder or a safetensors file. Reads headers
/// only.</summary>
internal sealed class InspectCommand : CliCommand
{
    private static readonly Setting<string?> Base = Make.Text(
        "model", "The adapter's base model, to show which share of it the adapter is", "models/TinyStories-656K");

    private static readonly Setting<int> Rows = Make.Int("rows", "Tensors listed; 0 all", 40, "0", 0);

    private static readonly Argument<string> PathArgument = new("PATH")
    {
        Description = "Model folder, adapter folder or .safetensors file",
    };

    public InspectCommand() : base(
        "inspect", "Show what is in a model folder, an adapter folder or a .safetensors file.",
        [new SettingGroup("Options", Base, Rows)],
        ["cudalora inspect models/TinyStories-656K", "cudalora inspect out/alpaca --model models/TinyStories-656K"]) =>
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
        else if (File.Exists(Path.Combine(path, "config.json"))) PrintModel(terminal, path, rows);
        else throw NeitherKind(path);
        return ExitCode.Success;
    }

    private static UserErrorException NeitherKind(string path) =>
        new($"{path}: must hold config.json (a model) or {LoraConfig.FileName} (an adapter), but has neither");

    private static void PrintModel(Terminal terminal, string folder, int rows)
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
        terminal.Line($"parameters  {Figures.Count(Values(weights))}");
        TensorTable.Print(terminal, weights.Tensors.Values.Select(t => t.Entry), rows);
    }

    private static void PrintAdapter(Terminal terminal, string folder, string? baseFolder, int rows)
    {
        var config = LoraConfig.Read(folder);
        using var weights = SafetensorsSet.Open(folder, "adapter_model");
        var parameters = Values(weights);
        var rule = config.UseRsLora ? ", rsLoRA" : "";
        terminal.Line($"adapter     LoRA, r {config.R}, alpha {config.LoraAlpha}{rule}, dropout {config.LoraDropout}");
        terminal.Line($"base        {config.BaseModel ?? "not named"}");
        terminal.Line($"targets     {config.TargetModules?.ToString() ?? "the family's defaults"}");
        if (config.ModulesToSave.Count > 0) terminal.Line($"in full     {string.Join(", ", config.ModulesToSave)}");
        if (config.Bias != LoraBias.None) terminal.Line($"biases      {config.Bias}");
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
