using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora train</c>.</summary>
internal sealed class TrainCommand() : CliCommand(
    "train", "Fine-tune a language model on your data: a LoRA adapter, its relatives, or every weight.",
    [
        new SettingGroup(
            "Model and data", Model, DataSettings.Data, DataSettings.EvalData, DataSettings.ValSize,
            DataSettings.Format,
            DataSettings.Delimiter, DataSettings.Template, DataSettings.TrainOnPrompt, DataSettings.MaxLength,
            DataSettings.Packing, DataSettings.GroupByLength, DataSettings.MaxSamples, DataSettings.MaxEvalSamples,
            DataSettings.ExactMatchSamples),
        MethodSettings.Group, MethodSettings.Others, QuantizeSettings.LoadGroup, TrainSettings.Training,
        TrainSettings.Noise, TrainSettings.Watching,
        TrainSettings.Machine,
    ],
    [
        "cudalora train",
        "cudalora train --model models/TinyStories-656K --data data/alpaca.json --max-steps 200 --output out/alpaca",
        "cudalora train --model models/TinyStories-656K --data train.txt --eval-data valid.txt --data-format e2e",
        "cudalora train --method qlora --double-quant",
        "cudalora train --method adalora --output out/adalora",
        "cudalora train --config out/alpaca/training_args.yaml --resume-from-checkpoint true",
    ])
{
    private static readonly Setting<string?> Model = Make.Text(
        "model", "Model folder in Hugging Face layout", "models/TinyStories-656K", aka: ["model_name_or_path"],
        shown: "the bundled model");

    protected override int Run(SettingValues values, Terminal terminal)
    {
        if (DeviceChoice.IsEmulator(values))
            DataSettings.ScoreLittle(values);
        if (!values.IsGiven(Model) && !values.IsGiven(DataSettings.Data) && File.Exists(BundledExample.Config))
            AddBundledDefaults(values);
        var model = BundledExample.RequireModel(values.Get(Model));
        var data = BundledExample.RequireData(values.Get(DataSettings.Data));
        var evalData = values.Get(DataSettings.EvalData)
            ?? (data == BundledExample.Data && File.Exists(BundledExample.EvalData) ? BundledExample.EvalData : null);
        var chosen = FineTuningMethods.Of(values);
        FineTuningMethods.CheckSettings(chosen, values);
        if (!Directory.Exists(model)) throw new UserErrorException($"{model}: the model folder does not exist");
        if (values.Get(MethodSettings.StartAdapter) is { } start && !Directory.Exists(start))
            throw new UserErrorException($"{start}: the adapter folder does not exist");
        if (chosen.Name == "qlora" && !QuantizeSettings.IsQuantized(model))
            values.AddDefault(QuantizeSettings.OnLoad, "nf4");
        FineTuningMethods.Check(chosen, values, ModelConfig.Read(model));
        var quantization = QuantizeSettings.OfLoad(values);
        var output = values.Require(TrainSettings.OutputDir);
        using var device = SharedSettings.Apply(values);
        terminal.Line(device.ToString());
        TrainSettings.NotePaging(values, device.Device, terminal);

        using var loaded = LoadedModel.Load(
            model, values.Get(DataSettings.Template), null, Note, device.Placement(trainAll: chosen.TrainsBase),
            quantization);
        loaded.VirtualTokens = chosen.VirtualTokens(values);
        terminal.Line($"model: {model} ({loaded.Describe()})");
        var encoder = loaded.Encoder(values, Note);
        var (train, held) = RecordSet.Load(values, encoder, data, evalData, Note);
        var random = new Generator((ulong)values.Get(TrainSettings.Seed));
        var arguments = TrainSettings.Arguments(
            values, train.Examples.Count, held.Examples.Count > 0, chosen.LearningRate) with
        {
            MaxLength = Math.Min(values.Get(DataSettings.MaxLength), loaded.Context),
        };
        Batcher Data() => TrainingRun.TrainBatches(loaded, train, arguments);
        var method = chosen.Begin(new MethodContext(
            loaded, values, random, Data, Trainer.CountSteps(arguments, Data())));
        loaded.Model.Random ??= random;
        loaded.Model.NeftuneNoiseAlpha = values.Get(TrainSettings.NeftuneNoiseAlpha);
        RunConfig.Write(Name, output, values, Settings, terminal);
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

    // What suits LoRA on the bundled data says nothing about the rates and sizes of other methods.
    private void AddBundledDefaults(SettingValues values)
    {
        var chosen = FineTuningMethods.Of(values);
        if (chosen is LoraMethod)
        {
            values.AddDefaults(BundledExample.Config, Settings);
            return;
        }
        values.AddDefault(TrainSettings.LearningRate, chosen.BundledRate);
        values.AddDefaults(BundledExample.Config, Settings, except: MethodSettings.All);
    }

    private static string FolderName(string path) =>
        Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)));
}
