using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Prefix tuning, prompt tuning, P-tuning.</summary>
internal sealed class VirtualTokenMethod(string name, VirtualTokenKind kind, string summary, double rate)
    : FineTuningMethod(name, summary, rate)
{
    public override IReadOnlyList<Setting> Settings => kind switch
    {
        VirtualTokenKind.Prefix =>
        [
            MethodSettings.VirtualTokens, MethodSettings.PromptInit, MethodSettings.PromptText,
            MethodSettings.PrefixProjection, MethodSettings.EncoderSize,
        ],
        VirtualTokenKind.Prompt =>
            [MethodSettings.VirtualTokens, MethodSettings.PromptInit, MethodSettings.PromptText],
        _ =>
        [
            MethodSettings.VirtualTokens, MethodSettings.EncoderType, MethodSettings.EncoderSize,
            MethodSettings.EncoderLayers, MethodSettings.EncoderDropout,
        ],
    };

    public override int VirtualTokens(SettingValues values) =>
        values.Get(MethodSettings.StartAdapter) is { } start
            ? VirtualTokenConfig.Read(start).Count
            : values.Get(MethodSettings.VirtualTokens);

    public override void Check(SettingValues values, ModelConfig model)
    {
        if (values.Get(DataSettings.Packing))
            throw new UsageException(
                $"{DataSettings.Packing.Flag} cannot be combined with {MethodSettings.VirtualTokens.Flag}: each packed "
                + "text would need virtual tokens of its own");
        if (values.IsGiven(MethodSettings.StartAdapter))
            return;
        Config(values, "").Validate(model);
        if (values.Get(MethodSettings.PrefixProjection)
            && new Setting[] { MethodSettings.PromptInit, MethodSettings.PromptText }.FirstOrDefault(values.IsGiven)
                is { } init)
            throw new UsageException(
                $"{init.Flag} cannot be combined with {MethodSettings.PrefixProjection.Flag}: an MLP makes the tokens");
        if (values.Get(MethodSettings.PromptInit) != "text" && values.IsGiven(MethodSettings.PromptText))
            throw new UsageException(
                $"{MethodSettings.PromptText.Flag} needs {MethodSettings.PromptInit.Flag} text, but that is "
                + values.Get(MethodSettings.PromptInit));
    }

    public override IFineTuning Begin(MethodContext context) =>
        AdapterMethod.Begin(context, Name, () => Create(context));

    private VirtualTokenAdapter Create(MethodContext context)
    {
        var (loaded, values) = (context.Loaded, context.Values);
        var adapter = VirtualTokenAdapter.Create(loaded.Model, Config(values, loaded.Folder), context.Random);
        if (!adapter.HasEncoder && FirstTokens(context) is { } tokens)
            adapter.BeginAs(tokens);
        return adapter;
    }

    private static int[]? FirstTokens(MethodContext context)
    {
        var (loaded, values) = (context.Loaded, context.Values);
        switch (values.Get(MethodSettings.PromptInit))
        {
            case "text":
                return [.. loaded.Tokenizer.Encode(values.Get(MethodSettings.PromptText))];
            case "sample_vocab":
                var random = new Random(values.Get(TrainSettings.Seed));
                return [.. Enumerable.Range(0, values.Get(MethodSettings.VirtualTokens))
                    .Select(_ => random.Next(loaded.Tokenizer.VocabSize))];
            default:
                return null;
        }
    }

    private VirtualTokenConfig Config(SettingValues values, string baseModel) => new()
    {
        Kind = kind,
        Count = values.Get(MethodSettings.VirtualTokens),
        EncoderHiddenSize = values.Get(MethodSettings.EncoderSize),
        PrefixProjection = values.Get(MethodSettings.PrefixProjection),
        Lstm = values.Get(MethodSettings.EncoderType) == "lstm",
        EncoderLayers = values.Get(MethodSettings.EncoderLayers),
        EncoderDropout = values.Get(MethodSettings.EncoderDropout),
        InitText = kind == VirtualTokenKind.Prompt && values.Get(MethodSettings.PromptInit) == "text"
            ? values.Get(MethodSettings.PromptText)
            : null,
        Tokenizer = baseModel,
        BaseModel = baseModel,
    };
}
