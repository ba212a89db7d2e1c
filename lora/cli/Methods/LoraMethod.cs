using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>LoRA and what differs from it by a setting: LoRA+, QLoRA, DoRA, LoRA-FA.</summary>
internal sealed class LoraMethod(string name, string summary, double rate) : FineTuningMethod(name, summary, rate)
{
    public override IReadOnlyList<Setting> Settings => Name == "lora-plus"
        ? [.. AdapterSettings.All, MethodSettings.LoraPlusRatio, MethodSettings.LoraPlusEmbedding]
        : AdapterSettings.All;

    public override void Check(SettingValues values, ModelConfig model)
    {
        if (values.IsGiven(AdapterSettings.Rank)) AdapterSettings.CheckRank(values, model);
        var config = Config(values, "");
        config.Validate();
        var method = values.IsGiven(AdapterSettings.UseDora) ? AdapterSettings.UseDora.Flag : $"--method {Name}";
        if (config.UseDora)
            RequireLinear(values, model, method);
        if (config.InitLoraWeights == LoraInit.Eva)
            RequireLinear(values, model, $"{AdapterSettings.Init.Flag} eva");
        if (config.InitLoraWeights == LoraInit.LoftQ && config.UseDora)
            throw new UsageException($"{method} cannot be combined with {AdapterSettings.Init.Flag} loftq");
        if (config.InitLoraWeights == LoraInit.LoftQ && values.Get(QuantizeSettings.OnLoad) == "none")
            throw new UsageException(
                $"{AdapterSettings.Init.Flag} loftq needs {QuantizeSettings.OnLoad.Flag} nf4: it corrects 4-bit "
                + "weights");
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
