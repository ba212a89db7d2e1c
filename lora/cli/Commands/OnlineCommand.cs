using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>What the commands that learn from sampled responses have in common.</summary>
internal abstract class OnlineCommand : CliCommand
{
    private static readonly SettingGroup Method = new(
        "Method", PreferenceSettings.Method, AdapterSettings.Rank, AdapterSettings.Alpha, AdapterSettings.Targets,
        AdapterSettings.UseRsLora, AdapterSettings.Init);

    protected OnlineCommand(
        string name, string summary, IReadOnlyList<Setting> own, IReadOnlyList<string> examples)
        : base(
            name, summary,
            [
                OnlineSettings.Input, OnlineSettings.Sampling, new SettingGroup(name.ToUpperInvariant(), [.. own]),
                Method, QuantizeSettings.LoadGroup, OnlineSettings.Training, TrainSettings.Machine,
            ],
            examples)
    {
    }

    /// <summary>Whether responses are compared with the model as it was.</summary>
    protected abstract bool UsesReference(SettingValues values);

    /// <summary>The trainer.</summary>
    protected abstract OnlineTrainer Trainer(
        SettingValues values, TrainingArguments arguments, IFineTuning method, OnlineRun run);

    protected override int Run(SettingValues values, Terminal terminal)
    {
        var model = BundledExample.RequireModel(values.Get(PreferenceSettings.Model));
        var data = values.Require(OnlineSettings.Data);
        var arguments = OnlineSettings.Arguments(values);
        PreferenceSettings.CheckInit(values, keepsBase: true);
        var rule = OnlineSettings.Rule(values);
        var isFull = values.Get(PreferenceSettings.Method) == "full";
        if (isFull && QuantizeSettings.OfLoad(values) is not null)
            throw new UsageException($"{PreferenceSettings.Method.Flag} full needs weights of floats, but "
                + $"{QuantizeSettings.OnLoad.Flag} makes them 4-bit");
        using var device = SharedSettings.Apply(values);
        terminal.Line(device.ToString());
        TrainSettings.NotePaging(values, device.Device, terminal);
        using var loaded = LoadedModel.Load(
            model, values.Get(DataSettings.Template), null, Note, device.Placement(trainAll: isFull),
            QuantizeSettings.OfLoad(values));
        terminal.Line($"model: {model} ({loaded.Describe()})");
        if (!isFull) AdapterSettings.CheckRank(values, loaded.Model.Config);
        var prompts = OnlineSettings.Prompts(values, loaded, data, Note);
        var random = new Generator((ulong)arguments.Seed);
        // A base that trains is neither a reference nor what a reward model's adapter was made for.
        using var frozen = isFull && (UsesReference(values) || rule is null) ? Frozen(model, device, Note) : null;
        var reward = rule ?? RewardModel.Load(frozen ?? loaded.Model, values.Get(OnlineSettings.RewardModel)!);
        using var adapter = isFull
            ? null
            : LoraAdapter.Create(loaded.Model, AdapterSettings.Config(values, model), random, "policy");
        IFineTuning method = adapter is null ? new FullFineTuning(loaded.Model) : new LoraFineTuning(adapter);
        RunConfig.Write(Name, arguments.OutputDir, values, Settings, terminal);
        var run = new OnlineRun(prompts, loaded.Tokenizer, loaded.StopIds, reward)
        {
            Random = random,
            UsesReference = UsesReference(values),
            Reference = frozen,
        };
        var code = new OnlineTraining(
            observer => Trainer(values, arguments, method, run with { Observer = observer }), arguments,
            new RunFacts(
                values.CommandLine, RunConfig.ResumeCommand(Name, arguments.OutputDir), $"{Name} on {data}", model,
                data, device.Device.Name, arguments.Seed))
            .Run(terminal, values.Get(SharedSettings.NoProgress));
        if (isFull) loaded.Tokenizer.Save(arguments.OutputDir);
        (reward as RewardModel)?.Adapter?.Dispose();
        return code;

        void Note(string message) => terminal.Line($"note: {message}");
    }

    private static CausalLM Frozen(string model, DeviceChoice device, Action<string> note)
    {
        var frozen = CausalLM.Load(model, device.Placement());
        note($"{PreferenceSettings.Method.Flag} full changes the model, so a second, frozen copy is its reference: "
            + $"{Figures.Count(frozen.ParameterCount)} more parameters in memory");
        return frozen;
    }
}
