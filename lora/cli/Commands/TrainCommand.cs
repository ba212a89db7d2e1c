using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora train</c>.</summary>
internal sealed class TrainCommand() : CliCommand(
    "train", "Fine-tune a language model on your data: a LoRA adapter, or every weight.",
    [
        new SettingGroup(
            "Model and data", Model, DataSettings.Data, DataSettings.EvalData, DataSettings.ValSize,
            DataSettings.Format,
            DataSettings.Delimiter, DataSettings.Template, DataSettings.TrainOnPrompt, DataSettings.MaxLength,
            DataSettings.Packing, DataSettings.GroupByLength, DataSettings.MaxSamples, DataSettings.MaxEvalSamples,
            DataSettings.ExactMatchSamples),
        AdapterSettings.Group, QuantizeSettings.LoadGroup, TrainSettings.Training, TrainSettings.Watching,
        TrainSettings.Machine,
    ],
    [
        "cudalora train",
        "cudalora train --model models/TinyStories-656K --data data/alpaca.json --max-steps 200 --output out/alpaca",
        "cudalora train --model models/TinyStories-656K --data train.txt --eval-data valid.txt --data-format e2e",
        "cudalora train --quantize nf4 --double-quant",
        "cudalora train --config out/alpaca/training_args.yaml --resume-from-checkpoint true",
    ])
{
    private const double LoraRate = 1e-3;
    private const double FullRate = 5e-5;

    private static readonly Setting<string?> Model = Make.Text(
        "model", "Model folder in Hugging Face layout", "models/TinyStories-656K", aka: ["model_name_or_path"],
        shown: "the bundled model");

    protected override int Run(SettingValues values, Terminal terminal)
    {
        if (DeviceChoice.IsEmulator(values))
            DataSettings.ScoreLittle(values);
        if (!values.IsGiven(Model) && !values.IsGiven(DataSettings.Data) && File.Exists(BundledExample.Config))
            values.AddDefaults(BundledExample.Config, Settings);
        var model = BundledExample.RequireModel(values.Get(Model));
        var data = BundledExample.RequireData(values.Get(DataSettings.Data));
        var evalData = values.Get(DataSettings.EvalData)
            ?? (data == BundledExample.Data && File.Exists(BundledExample.EvalData) ? BundledExample.EvalData : null);
        var isLora = values.Get(AdapterSettings.Method) == "lora";
        RefuseAdapterOptions(values, isLora);
        var quantization = QuantizeSettings.OfLoad(values);
        var adapterConfig = isLora ? AdapterSettings.Config(values, model) : null;
        var output = values.Require(TrainSettings.OutputDir);
        using var device = SharedSettings.Apply(values);
        terminal.Line(device.ToString());

        using var loaded = LoadedModel.Load(
            model, values.Get(DataSettings.Template), null, Note, device.Placement(trainAll: !isLora), quantization);
        terminal.Line($"model: {model} ({loaded.Describe()})");
        var encoder = loaded.Encoder(values, Note);
        var (train, held) = RecordSet.Load(values, encoder, data, evalData, Note);
        var random = new Generator((ulong)values.Get(TrainSettings.Seed));
        var method = Prepare(loaded, adapterConfig, values.Get(AdapterSettings.StartAdapter), random);
        var arguments =
            TrainSettings.Arguments(values, train.Examples.Count, held.Examples.Count > 0, isLora ? LoraRate : FullRate)
            with
            { MaxLength = Math.Min(values.Get(DataSettings.MaxLength), loaded.Context) };
        loaded.Model.GradientCheckpointing = arguments.GradientCheckpointing;
        RunConfig.Write(Name, output, values, Settings);
        var run = new TrainingRun(loaded, method, encoder, train, held, arguments, random)
        {
            ExactMatchSamples = values.Get(DataSettings.ExactMatchSamples),
            Facts = new RunFacts(
                values.CommandLine, RunConfig.ResumeCommand(Name, output),
                $"{method.Method} of {FolderName(model)} on {FolderName(data)}",
                model, data, device.Device.Name, arguments.Seed),
        };
        return run.Run(terminal, values.Get(SharedSettings.NoProgress));

        void Note(string message) => terminal.Line($"note: {message}");
    }

    private static IFineTuning Prepare(LoadedModel loaded, LoraConfig? config, string? start, Generator random)
    {
        if (config is null) return new FullFineTuning(loaded.Model);
        if (start is null)
        {
            loaded.Adapter = LoraAdapter.Create(loaded.Model, config, random);
            if (config.InitLoraWeights == LoraInit.LoftQ) LoftQ.Initialize(loaded.Adapter, loaded.Folder, random);
        }
        else
        {
            if (!Directory.Exists(start)) throw new UserErrorException($"{start}: the adapter folder does not exist");
            loaded.Adapter = LoraAdapter.Load(loaded.Model, start, random: random);
            loaded.Adapter.SetTrainable(true);
        }
        return new LoraFineTuning(loaded.Adapter);
    }

    private static void RefuseAdapterOptions(SettingValues values, bool isLora)
    {
        var fresh = AdapterSettings.Group.Settings.Except([AdapterSettings.Method, AdapterSettings.StartAdapter]);
        if (!isLora && AdapterSettings.Group.Settings.Skip(1).FirstOrDefault(values.IsGiven) is { } useless)
            throw new UsageException($"{useless.Flag} needs --method lora, but the method is full");
        if (!isLora && values.Get(QuantizeSettings.OnLoad) != "none")
            throw new UsageException(
                $"{QuantizeSettings.OnLoad.Flag} needs --method lora (4-bit weights are frozen), but the method is full");
        if (values.IsGiven(AdapterSettings.StartAdapter) && fresh.FirstOrDefault(values.IsGiven) is { } fixedBy)
            throw new UsageException(
                $"{fixedBy.Flag} cannot be changed: --adapter goes on with an adapter that has its own");
    }

    private static string FolderName(string path) =>
        Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)));
}
