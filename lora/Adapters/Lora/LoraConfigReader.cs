using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Reads adapter_config.json; see <see cref="LoraConfig"/>.</summary>
internal static class LoraConfigReader
{
    /// <summary>Fields of newer PEFT methods: harmless while empty, another mathematics otherwise.</summary>
    private static readonly string[] Unsupported =
    [
        "alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication", "megatron_config",
        "monteclora_config", "target_parameters", "trainable_token_indices", "use_bdlora", "use_qalora",
        "velora_config", "ensure_weight_tying",
    ];

    private static readonly HashSet<string> Known =
    [
        .. Unsupported, "alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "corda_config",
        "eva_config", "exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights", "layers_pattern",
        "layers_to_transform", "loftq_config", "lora_alpha", "lora_bias", "lora_dropout", "lora_ga_config",
        "megatron_core", "modules_to_save", "peft_type", "peft_version", "qalora_group_size", "r", "rank_pattern", "revision",
        "runtime_config", "target_modules", "task_type", "use_dora", "use_rslora",
    ];

    internal static LoraConfig Read(JsonFields json)
    {
        if (json.String("peft_type") != "LORA") throw json.Refuse("peft_type", "LORA");
        foreach (string name in Unsupported)
        {
            if (!IsEmpty(json.Root[name])) throw json.Refuse(name, "absent, null, false or empty (not supported)");
        }
        var config = new LoraConfig
        {
            Source = json.Root,
            R = json.Int("r", 8),
            LoraAlpha = json.Double("lora_alpha", 8),
            LoraDropout = json.Double("lora_dropout", 0),
            TargetModules = ReadSelector(json, "target_modules"),
            ExcludeModules = ReadSelector(json, "exclude_modules"),
            ModulesToSave = json.Strings("modules_to_save") ?? [],
            LayersToTransform = json.Ints("layers_to_transform") is { Count: > 0 } layers ? layers : null,
            LayersPattern = json.Strings("layers_pattern") is { Count: > 0 } pattern && pattern[0].Length > 0
                ? pattern
                : null,
            RankPattern = ReadPattern(json, "rank_pattern", static (fields, name) => fields.RequiredInt(name)),
            AlphaPattern = ReadPattern(json, "alpha_pattern", static (fields, name) => fields.Double(name)!.Value),
            Bias = json.String("bias") switch
            {
                null or "none" => LoraBias.None,
                "all" => LoraBias.All,
                "lora_only" => LoraBias.LoraOnly,
                _ => throw json.Refuse("bias", "one of none, all, lora_only"),
            },
            UseRsLora = json.Bool("use_rslora", false),
            InitLoraWeights = ReadInit(json, out var pissaIterations),
            PissaIterations = pissaIterations,
            UseDora = json.Bool("use_dora", false),
            BiasOnB = json.Bool("lora_bias", false),
            FanInFanOut = json.Bool("fan_in_fan_out", false),
            TaskType = json.String("task_type"),
            BaseModel = json.String("base_model_name_or_path"),
            UnknownFields = json.Names.Where(name => !Known.Contains(name)).ToArray(),
        };
        try
        {
            config.Validate();
        }
        catch (UserErrorException e)
        {
            throw new UserErrorException($"{json.Path}: {e.Message}", e);
        }
        return config;
    }

    private static bool IsEmpty(JsonNode? node) => node switch
    {
        null => true,
        JsonObject fields => fields.Count == 0,
        JsonArray items => items.Count == 0,
        _ => node.GetValueKind() == JsonValueKind.False,
    };

    private static LoraInit ReadInit(JsonFields json, out int pissaIterations)
    {
        pissaIterations = 0;
        var node = json.Root["init_lora_weights"];
        var text = node?.GetValueKind() switch
        {
            null or JsonValueKind.True => "true",
            JsonValueKind.False => "false",
            JsonValueKind.String => node!.GetValue<string>(),
            _ => "",
        };
        return LoraInitNames.TryParse(text, out var init, out pissaIterations)
            ? init
            : throw json.Refuse("init_lora_weights", "true, false or one of " + string.Join(", ", LoraInitNames.All));
    }

    internal static ModuleSelector? ReadSelector(JsonFields json, string name)
    {
        if (!json.Has(name)) return null;
        IReadOnlyList<string> texts = json.Strings(name)!;
        if (json.Root[name] is JsonArray) return texts.Count == 0 ? null : ModuleSelector.Of(texts);
        try
        {
            return ModuleSelector.FromPattern(texts[0]);
        }
        catch (RegexParseException e)
        {
            throw json.Refuse(name, $"a regular expression ({e.Message})");
        }
    }

    private static List<KeyValuePair<string, T>> ReadPattern<T>(
        JsonFields json, string name, Func<JsonFields, string, T> read)
    {
        var pattern = new List<KeyValuePair<string, T>>();
        if (json.Object(name) is not JsonFields fields) return pattern;
        foreach (string key in fields.Names)
        {
            if (!fields.Has(key)) throw fields.Refuse(key, "a number");
            pattern.Add(KeyValuePair.Create(key, read(fields, key)));
        }
        return pattern;
    }
}
