using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>LoRA and what differs from it by a setting: LoRA+, QLoRA, DoRA, LoRA-FA.</summary>
internal sealed class LoraMethod(string name, string summary, double rate) : FineTuningMethod(name, summary, rate)
{
    private static readonly string[] Tables = ["embed_tokens", "wte", "wpe"];

    public override IReadOnlyList<Setting> Settings => Name == "lora-plus"
        ? [.. AdapterSettings.All, MethodSettings.LoraPlusRatio, MethodSettings.LoraPlusEmbedding]
        : AdapterSettings.All;

    public override void Check(SettingValues values, ModelConfig model)
    {
        var config = Config(values, "");
        config.Validate();
        if (config.UseDora && config.TargetModules?.Names?.FirstOrDefault(Tables.Contains) is { } table)
            throw new UserErrorException($"use_dora adapts linear layers, but target_modules has {table}");
        if (config.InitLoraWeights == LoraInit.LoftQ && config.UseDora)
            throw new UserErrorException("use_dora cannot be combined with init_lora_weights loftq");
    }

    public override IFineTuning Begin(MethodContext context)
    {
        var adapter = Adapter(context);
        context.Loaded.Adapter = adapter;
        if (Name == "lora-fa")
            adapter.FreezeA();
        return Name switch
        {
            "lora-plus" => new LoraPlusFineTuning(
                adapter, context.Values.Get(MethodSettings.LoraPlusRatio),
                context.Values.Get(MethodSettings.LoraPlusEmbedding)),
            "lora" or "qlora" => new LoraFineTuning(adapter),
            _ => new AdapterFineTuning(adapter, Name),
        };
    }

    private LoraAdapter Adapter(MethodContext context)
    {
        var (loaded, values) = (context.Loaded, context.Values);
        if (values.Get(MethodSettings.StartAdapter) is { } start)
        {
            var going = LoraAdapter.Load(loaded.Model, start, random: context.Random);
            going.SetTrainable(true);
            return going;
        }
        var config = Config(values, loaded.Folder);
        if (config.InitLoraWeights == LoraInit.Eva)
            return Eva.Create(loaded.Model, config, context.Data(), context.Random);
        var adapter = LoraAdapter.Create(loaded.Model, config, context.Random);
        if (config.InitLoraWeights == LoraInit.LoftQ)
            LoftQ.Initialize(adapter, loaded.Folder, context.Random);
        return adapter;
    }

    private LoraConfig Config(SettingValues values, string baseModel)
    {
        var config = AdapterSettings.Config(values, baseModel);
        return Name == "dora" ? config with { UseDora = true } : config;
    }
}
