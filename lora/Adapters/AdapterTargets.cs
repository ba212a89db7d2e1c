using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Which layers an adapter is put on, and the fields about it that every PEFT method of that kind shares.
/// </summary>
public sealed record AdapterTargets
{
    /// <summary><c>target_modules</c>; null means the usual ones of the model's family.</summary>
    public ModuleSelector? Modules { get; init; }

    /// <summary><c>exclude_modules</c>: never adapted.</summary>
    public ModuleSelector? Excluded { get; init; }

    /// <summary><c>modules_to_save</c>: trained in full and saved beside the adapter.</summary>
    public IReadOnlyList<string> ModulesToSave { get; init; } = [];

    /// <summary><c>base_model_name_or_path</c>.</summary>
    public string? BaseModel { get; init; }

    internal JsonObject? Source { get; init; }

    internal (IReadOnlyList<string> Names, string? Task) WholeModules => (ModulesToSave, null);

    /// <summary>Reads the fields of a config of this <c>peft_type</c>.</summary>
    internal static AdapterTargets Read(JsonFields json, string type)
    {
        if (json.String("peft_type") != type)
            throw json.Refuse("peft_type", type);
        if (json.String("bias") is not (null or "none"))
            throw json.Refuse("bias", "none with this peft_type (not supported)");
        return new AdapterTargets
        {
            Modules = LoraConfigReader.ReadSelector(json, "target_modules"),
            Excluded = LoraConfigReader.ReadSelector(json, "exclude_modules"),
            ModulesToSave = json.Strings("modules_to_save") ?? [],
            BaseModel = json.String("base_model_name_or_path"),
            Source = json.Root,
        };
    }

    /// <summary>The linear layers meant, in model order, and these targets with their names written out.</summary>
    internal (AdapterTargets Expanded, Linear[] Layers) Resolve(CausalLM model, ModuleSelector usual)
    {
        var config = new LoraConfig
        {
            TargetModules = Modules ?? usual,
            ExcludeModules = Excluded,
            ModulesToSave = ModulesToSave,
        };
        var targets = TargetModules.Resolve(config, model.ModulePaths(), model.Config.Family);
        if (targets.FirstOrDefault(t => !t.Module.IsLinear) is { Rank: > 0 } table)
            throw new UserErrorException(
                $"this method adapts linear layers, but target_modules has the embedding {table.Module.Path}");
        var linears = model.Linears().ToDictionary(linear => linear.Path.Value);
        var expanded = TargetModules.Expanded(config, targets, model.ModulePaths()).TargetModules;
        return (this with { Modules = expanded }, [.. targets.Select(t => linears[t.Module.Path])]);
    }

    /// <summary>A config with these fields, over those of the file it was read from.</summary>
    internal JsonObject ToJson(string type, bool fanInFanOut)
    {
        var json = Source?.DeepClone().AsObject() ?? [];
        json["peft_type"] = type;
        json["task_type"] = "CAUSAL_LM";
        json["base_model_name_or_path"] = BaseModel;
        json["inference_mode"] = true;
        json["target_modules"] = Modules?.ToJson();
        json["exclude_modules"] = Excluded?.ToJson();
        json["modules_to_save"] = ModulesToSave.Count == 0 ? null : LoraConfigWriter.Texts(ModulesToSave);
        json["fan_in_fan_out"] = fanInFanOut;
        foreach (var name in new[] { "auto_mapping", "revision" })
            json.TryAdd(name, null);
        return json;
    }
}
