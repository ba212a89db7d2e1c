using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora pretrain</c>: a new model from a config, a tokenizer and text.</summary>
internal sealed class PretrainCommand() : CliCommand(
    "pretrain", "Train a new model from random weights: sizes, a tokenizer and text in, a model folder out.",
    [
        new SettingGroup(
            "Model and data", Size, ModelConfigFile, TokenizerPath, DataSettings.Data, DataSettings.EvalData,
            DataSettings.ValSize,
            DataSettings.Format, DataSettings.Delimiter, DataSettings.Template, DataSettings.TrainOnPrompt,
            DataSettings.MaxLength, DataSettings.Packing, DataSettings.GroupByLength, DataSettings.MaxSamples,
            DataSettings.MaxEvalSamples, DataSettings.ExactMatchSamples),
        TrainSettings.Training, TrainSettings.Watching, TrainSettings.Machine,
    ],
    [
        "cudalora pretrain --size tiny --tokenizer models/TinyStories-656K --data text.txt --packing --output out/base",
        "cudalora pretrain --model-config config.json --tokenizer tokenizer.json --data text.jsonl --output out/base",
    ])
{
    private const double Rate = 1e-3;

    private static readonly Setting<string> Size = Make.Choice(
        "size", "Sizes of a Llama: " + ModelSizes.Describe(), "tiny", [.. ModelSizes.Names], shown: "tiny");

    private static readonly Setting<string?> ModelConfigFile = Make.Text(
        "model_config", "Instead of --size: a config.json", "models/TinyStories-656K/config.json",
        aka: ["config_name"]);

    private static readonly Setting<string?> TokenizerPath = Make.Text(
        "tokenizer", "Folder or file of the tokenizer", "models/TinyStories-656K", aka: ["tokenizer_name"]);

    protected override int Run(SettingValues values, Terminal terminal)
    {
        var tokenizerPath = values.Require(TokenizerPath);
        var data = values.Require(DataSettings.Data);
        var output = values.Require(TrainSettings.OutputDir);
        if (values.IsGiven(Size) && values.IsGiven(ModelConfigFile))
            throw new UsageException($"{Size.Flag} and {ModelConfigFile.Flag} exclude each other");
        using var device = SharedSettings.Apply(values);
        terminal.Line(device.ToString());
        TrainSettings.NotePaging(values, device.Device, terminal);

        var seed = values.Get(TrainSettings.Seed);
        var tokenizer = Tokenizer.Load(tokenizerPath);
        var config = values.Get(ModelConfigFile) is { } file
            ? ModelConfig.Read(file)
            : ModelSizes.Of(values.Get(Size), tokenizer);
        using var loaded = LoadedModel.Around(
            CausalLM.Create(config, (ulong)seed, device.Placement(trainAll: true)), output, tokenizerPath,
            values.Get(DataSettings.Template), Note);
        terminal.Line($"model: new {config.ModelType}, {Figures.Count(loaded.Model.ParameterCount)} parameters");
        var encoder = loaded.Encoder(values, Note);
        var (train, held) = RecordSet.Load(values, encoder, data, values.Get(DataSettings.EvalData), Note);
        var method = new FullFineTuning(loaded.Model);
        var arguments = TrainSettings.Arguments(values, train.Examples.Count, held.Examples.Count > 0, Rate)
            with
        { MaxLength = Math.Min(values.Get(DataSettings.MaxLength), loaded.Context) };
        RunConfig.Write(Name, output, values, Settings, terminal);
        var run = new TrainingRun(loaded, method, encoder, train, held, arguments, new Generator((ulong)seed))
        {
            ExactMatchSamples = values.Get(DataSettings.ExactMatchSamples),
            Facts = new RunFacts(
                values.CommandLine, RunConfig.ResumeCommand(Name, output), $"pretraining on {Path.GetFileName(data)}",
                "new", data, device.Device.Name, seed),
        };
        return run.Run(terminal, values.Get(SharedSettings.NoProgress));

        void Note(string message) => terminal.Line($"note: {message}");
    }
}
