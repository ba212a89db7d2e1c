using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// adapter_config.json of an AdaLoRA adapter, with PEFT's names and defaults. Targets, alpha and dropout are those of
/// <see cref="Lora"/>; its r is not used.
/// </summary>
public sealed record AdaLoraConfig
{
    /// <summary>Targets, alpha, dropout, base model.</summary>
    public LoraConfig Lora { get; init; } = new();

    /// <summary><c>init_r</c>: rank of every layer at first.</summary>
    public int InitR { get; init; } = 12;

    /// <summary><c>target_r</c>: mean rank at the end.</summary>
    public int TargetR { get; init; } = 8;

    /// <summary><c>tinit</c>: steps before the first rank is taken away.</summary>
    public int TInit { get; init; }

    /// <summary><c>tfinal</c>: steps at the end with fixed ranks.</summary>
    public int TFinal { get; init; }

    /// <summary><c>deltaT</c>: steps between two allocations.</summary>
    public int DeltaT { get; init; } = 1;

    /// <summary><c>beta1</c>: decay of the mean sensitivity.</summary>
    public double Beta1 { get; init; } = 0.85;

    /// <summary><c>beta2</c>: decay of its mean deviation.</summary>
    public double Beta2 { get; init; } = 0.85;

    /// <summary><c>orth_reg_weight</c>: weight of the penalty on P and Q that are not orthonormal.</summary>
    public double OrthRegWeight { get; init; } = 0.5;

    /// <summary><c>total_step</c>: steps of the run.</summary>
    public int TotalStep { get; init; }

    /// <summary><c>rank_pattern</c>: which of the first ranks each layer has kept, by <c>PATH.lora_E</c>; null before
    /// any was taken.</summary>
    public IReadOnlyDictionary<string, bool[]>? RankPattern { get; init; }

    /// <summary>Factor on B diag(E) A: PEFT divides by the first rank, also where fewer are left.</summary>
    public float Scale => (float)((Lora.LoraAlpha > 0 ? Lora.LoraAlpha : InitR) / (InitR + 1e-5));

    /// <summary>Reads adapter_config.json from an adapter folder.</summary>
    /// <exception cref="UserErrorException">Missing, malformed or not AdaLoRA's.</exception>
    public static AdaLoraConfig Read(string folder)
    {
        var json = AdapterFolder.Config(folder);
        if (json.String("peft_type") != "ADALORA")
            throw json.Refuse("peft_type", "ADALORA");
        // rank_pattern means something else in LoRA's config.
        var lora = json.Root.DeepClone().AsObject();
        lora.Remove("rank_pattern");
        lora["peft_type"] = "LORA";
        var config = new AdaLoraConfig
        {
            Lora = LoraConfigReader.Read(new JsonFields(lora, json.Path)),
            InitR = json.Int("init_r", 12),
            TargetR = json.Int("target_r", 8),
            TInit = json.Int("tinit", 0),
            TFinal = json.Int("tfinal", 0),
            DeltaT = json.Int("deltaT", 1),
            Beta1 = json.Double("beta1", 0.85),
            Beta2 = json.Double("beta2", 0.85),
            OrthRegWeight = json.Double("orth_reg_weight", 0.5),
            TotalStep = json.Int("total_step", 0),
            RankPattern = ReadPattern(json),
        };
        config.Validate();
        return config;
    }

    /// <summary>Writes adapter_config.json into a folder, atomically.</summary>
    public void Write(string folder)
    {
        var json = LoraConfigWriter.ToJson(Lora);
        json["peft_type"] = "ADALORA";
        json["init_r"] = InitR;
        json["target_r"] = TargetR;
        json["tinit"] = TInit;
        json["tfinal"] = TFinal;
        json["deltaT"] = DeltaT;
        json["beta1"] = ConfigJson.Real(Beta1);
        json["beta2"] = ConfigJson.Real(Beta2);
        json["orth_reg_weight"] = ConfigJson.Real(OrthRegWeight);
        json["total_step"] = TotalStep;
        json["rank_pattern"] = RankPattern is null
            ? null
            : new JsonObject(RankPattern.Select(p => KeyValuePair.Create(
                p.Key, (JsonNode?)new JsonArray([.. p.Value.Select(kept => JsonValue.Create(kept))]))));
        ConfigJson.Write(Path.Combine(folder, LoraConfig.FileName), json);
    }

    /// <summary>Checks values and combinations.</summary>
    /// <exception cref="UserErrorException">A value outside its range, or two that exclude each other.</exception>
    public void Validate()
    {
        Lora.Validate();
        if (InitR < 1 || TargetR < 0)
            throw new UserErrorException(
                $"init_r must be at least 1 and target_r 0, but they are {InitR} and {TargetR}");
        if (TargetR > InitR)
            throw new UserErrorException(
                $"target_r must not be above init_r, but they are {TargetR} and {InitR}: "
                + "AdaLoRA only takes ranks away");
        if (TInit < 0 || TFinal < 0 || DeltaT < 1)
            throw new UserErrorException(
                "tinit and tfinal must not be negative and deltaT at least 1, "
                + $"but they are {TInit}, {TFinal}, {DeltaT}");
        if (TotalStep < 1)
            throw new UserErrorException($"total_step must be the number of steps of the run, but is {TotalStep}");
        if (TInit >= TotalStep - TFinal)
            throw new UserErrorException(
                $"tinit must be below total_step - tfinal, but they are {TInit}, {TotalStep} and {TFinal}");
        if (Lora.UseDora || Lora.BiasOnB)
            throw new UserErrorException(
                $"{(Lora.UseDora ? "use_dora" : "lora_bias")} cannot be combined with AdaLoRA (init_r)");
        if (Lora.InitLoraWeights != LoraInit.Default)
            throw new UserErrorException(
                "init_lora_weights must be true with AdaLoRA (init_r), but is "
                + LoraInitNames.Of(Lora.InitLoraWeights, Lora.PissaIterations));
    }

    private static Dictionary<string, bool[]>? ReadPattern(JsonFields json)
    {
        if (json.Object("rank_pattern") is not { } fields)
            return null;
        var pattern = new Dictionary<string, bool[]>(StringComparer.Ordinal);
        foreach (var name in fields.Names)
        {
            var flags = fields.Root[name] as JsonArray;
            if (flags is null || flags.Any(f => f?.GetValueKind() is not (
                System.Text.Json.JsonValueKind.True or System.Text.Json.JsonValueKind.False)))
                throw fields.Refuse(name, "a list of true and false");
            pattern[name] = [.. flags.Select(f => f!.GetValue<bool>())];
        }
        return pattern;
    }
}
