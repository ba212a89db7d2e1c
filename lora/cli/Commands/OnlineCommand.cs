using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>What the commands that learn from sampled responses have in common.</summary>
internal abstract class OnlineCommand : CliCommand
{
    // The reference is the model without its adapter, so there is always one.
    private static readonly SettingGroup Adapter = new(
        "Adapter", AdapterSettings.Rank, AdapterSettings.Alpha, AdapterSettings.Targets, AdapterSettings.UseRsLora,
        AdapterSettings.Init);

    protected OnlineCommand(
        string name, string summary, IReadOnlyList<Setting> own, IReadOnlyList<string> examples)
        : base(
            name, summary,
            [
                OnlineSettings.Input, OnlineSettings.Sampling, new SettingGroup(name.ToUpperInvariant(), [.. own]),
                Adapter, QuantizeSettings.LoadGroup, OnlineSettings.Training, TrainSettings.Machine,
            ],
            examples)
    {
    }

    /// <summary>The trainer.</summary>
    protected abstract OnlineTrainer Trainer(
        SettingValues values, TrainingArguments arguments, LoraAdapter adapter, OnlineRun run);

    protected override int Run(SettingValues values, Terminal terminal)
    {
        var model = BundledExample.RequireModel(values.Get(PreferenceSettings.Model));
        var data = values.Require(OnlineSettings.Data);
        var arguments = OnlineSettings.Arguments(values);
        PreferenceSettings.CheckInit(values, keepsBase: true);
        if (values.Get(OnlineSettings.Reward) is null == values.Get(OnlineSettings.RewardModel) is null)
            throw new UsageException(
                $"either {OnlineSettings.RewardModel.Flag} or {OnlineSettings.Reward.Flag} is needed");
        var rule = values.Get(OnlineSettings.Reward) is { } name
            ? RuleRewards.Of(name, values.Get(OnlineSettings.ResponseLength))
            : null;
        using var device = SharedSettings.Apply(values);
        terminal.Line(device.ToString());
        TrainSettings.NotePaging(values, device.Device, terminal);
        using var loaded = LoadedModel.Load(
            model, values.Get(DataSettings.Template), null, Note, device.Placement(), QuantizeSettings.OfLoad(values));
        terminal.Line($"model: {model} ({loaded.Describe()})");
        var prompts = Prompts(values, loaded, data, Note);
        var random = new Generator((ulong)arguments.Seed);
        var reward = rule ?? RewardModel.Load(loaded.Model, values.Get(OnlineSettings.RewardModel)!);
        using var adapter = LoraAdapter.Create(
            loaded.Model, AdapterSettings.Config(values, model), random, "policy");
        RunConfig.Write(Name, arguments.OutputDir, values, Settings);
        var run = new OnlineRun(prompts, loaded.Tokenizer, loaded.StopIds, reward) { Random = random };
        var code = new OnlineTraining(
            observer => Trainer(values, arguments, adapter, run with { Observer = observer }), arguments,
            new RunFacts(
                values.CommandLine, RunConfig.ResumeCommand(Name, arguments.OutputDir), $"{Name} on {data}", model,
                data, device.Device.Name, arguments.Seed))
            .Run(terminal, values.Get(SharedSettings.NoProgress));
        (reward as RewardModel)?.Adapter?.Dispose();
        return code;

        void Note(string message) => terminal.Line($"note: {message}");
    }

    // A prompt and its response have to fit in the context.
    private static (PromptRecord, int[])[] Prompts(
        SettingValues values, LoadedModel loaded, string data, Action<string> note)
    {
        var encoder = new SftEncoder(loaded.Tokenizer, loaded.Template);
        var records = PreferenceFile.LoadPrompts(data);
        if (values.Get(DataSettings.MaxSamples) is int most) records = [.. records.Take(most)];
        var room = Math.Min(values.Get(DataSettings.MaxLength), loaded.Context)
            - values.Get(OnlineSettings.ResponseLength);
        var all = records.Select(record => (record, Ids: encoder.EncodePrompt(record.Prompt))).ToArray();
        var fitting = all.Where(prompt => prompt.Ids.Length <= room).ToArray();
        if (fitting.Length == 0)
            throw new UserErrorException(
                $"{data}: a prompt must have at most {Math.Max(0, room)} tokens beside a response of "
                + $"{values.Get(OnlineSettings.ResponseLength)}, but none has: lower "
                + OnlineSettings.ResponseLength.Flag);
        if (fitting.Length < all.Length)
        {
            note($"{all.Length - fitting.Length} of {all.Length} prompts leave no room for a response and were "
                + "left out");
        }
        return fitting;
    }
}
