using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>What the commands that train on preferences have in common.</summary>
internal abstract class PreferenceCommand : CliCommand
{
    private const double LoraRate = 1e-5;
    private const double FullRate = 1e-6;

    protected PreferenceCommand(
        string name, string summary, IReadOnlyList<Setting> own, IReadOnlyList<string> examples)
        : base(
            name, summary,
            [
                PreferenceSettings.DataGroup(), new SettingGroup("Loss", [.. own]), PreferenceSettings.MethodGroup(),
                QuantizeSettings.LoadGroup, TrainSettings.Training, TrainSettings.Watching, TrainSettings.Machine,
            ],
            examples)
    {
    }

    /// <summary>Learning rates with an adapter and in full, if none is given.</summary>
    protected virtual (double Lora, double Full) Rates => (LoraRate, FullRate);

    /// <summary>Whether the loss compares with the model as it was.</summary>
    protected virtual bool UsesReference(SettingValues values) => true;

    /// <summary>The loss.</summary>
    protected abstract IMeasuredObjective Objective(SettingValues values);

    /// <summary>The data.</summary>
    protected virtual (PreferenceData Train, PreferenceData Held) Load(
        SettingValues values, PreferenceEncoder encoder, Action<string> note) =>
        PreferenceSet.Load(values, PreferenceFile.LoadPairs, encoder.Pairs, note);

    /// <summary>What trains.</summary>
    protected virtual IFineTuning Prepare(
        SettingValues values, LoadedModel loaded, LoraConfig? config, Generator random)
    {
        if (config is null) return new FullFineTuning(loaded.Model);
        if (values.Get(MethodSettings.StartAdapter) is { } start)
        {
            var adapter = LoraAdapter.Load(loaded.Model, start, random: random);
            adapter.SetTrainable(true);
            loaded.Adapter = adapter;
            return new LoraFineTuning(adapter);
        }
        var fresh = LoraAdapter.Create(loaded.Model, config, random);
        loaded.Adapter = fresh;
        return new LoraFineTuning(fresh);
    }

    /// <summary>The reward model in training, if it is one.</summary>
    protected virtual RewardModel? Reward(LoadedModel loaded) => null;

    protected override int Run(SettingValues values, Terminal terminal)
    {
        var model = BundledExample.RequireModel(values.Get(PreferenceSettings.Model));
        var data = values.Require(PreferenceSettings.Data);
        var output = values.Require(TrainSettings.OutputDir);
        var isLora = values.Get(PreferenceSettings.Method) == "lora";
        PreferenceSettings.CheckInit(values);
        var objective = Objective(values);
        var adapterConfig = isLora ? AdapterSettings.Config(values, model) : null;
        using var device = SharedSettings.Apply(values);
        terminal.Line(device.ToString());
        TrainSettings.NotePaging(values, device.Device, terminal);
        using var loaded = LoadedModel.Load(
            model, values.Get(DataSettings.Template), null, Note, device.Placement(trainAll: !isLora),
            QuantizeSettings.OfLoad(values));
        terminal.Line($"model: {model} ({loaded.Describe()})");
        if (isLora) AdapterSettings.CheckRank(values, loaded.Model.Config);
        var length = Math.Min(values.Get(DataSettings.MaxLength), loaded.Context);
        var encoder = new PreferenceEncoder(new SftEncoder(loaded.Tokenizer, loaded.Template), length);
        var (train, held) = Load(values, encoder, Note);
        var random = new Generator((ulong)values.Get(TrainSettings.Seed));
        var method = Prepare(values, loaded, adapterConfig, random);
        var arguments = TrainSettings.Arguments(
            values, train.Count, held.Count > 0, isLora ? Rates.Lora : Rates.Full) with
        { MaxLength = length };
        if (UsesReference(values)) PrepareReference(values, loaded, train, held, arguments, Note);
        RunConfig.Write(Name, output, values, Settings, terminal);
        return new PreferenceRun(loaded, method, objective, train, held, arguments, random)
        {
            Reward = Reward(loaded),
            Facts = new RunFacts(
                values.CommandLine, RunConfig.ResumeCommand(Name, output),
                $"{Name} of {FolderName(model)} on {FolderName(data)}", model, data, device.Device.Name,
                arguments.Seed),
        }.Run(terminal, values.Get(SharedSettings.NoProgress));

        void Note(string message) => terminal.Line($"note: {message}");
    }

    // Without an adapter to switch off, when an adapter goes on being trained, and when a new one took its values from
    // the base, the reference is the model as it is now.
    private static void PrepareReference(
        SettingValues values, LoadedModel loaded, PreferenceData train, PreferenceData held,
        TrainingArguments arguments, Action<string> note)
    {
        var leavesBase = values.Get(MethodSettings.StartAdapter) is null
            && !PreferenceSettings.TakesFromBase(values);
        if (loaded.Adapter is not null && leavesBase && !values.Get(PreferenceSettings.Precompute)) return;
        note($"the reference scores {Figures.Count(train.Examples.Count + held.Examples.Count)} responses first");
        foreach (var part in (PreferenceData[])[train, held])
        {
            if (part.Count > 0)
                ReferenceScores.Precompute(
                    loaded.Model, part.Examples, arguments.PerDeviceEvalBatchSize, loaded.Tokenizer.PadId ?? 0);
        }
    }

    private static string FolderName(string path) =>
        Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)));
}
