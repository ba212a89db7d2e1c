using System.Text.Json.Nodes;

namespace CudaLora.Lora;

/// <summary>Puts a <see cref="LoraConfig"/> into PEFT's keys, all of those a reader of today expects.</summary>
internal static class LoraConfigWriter
{
    /// <summary>Keys that PEFT writes and this program leaves at their defaults.</summary>
    private const string Defaults = """
        {
          "auto_mapping": null, "corda_config": null, "eva_config": null, "layer_replication": null, "loftq_config": {},
          "megatron_config": null, "megatron_core": "megatron.core", "revision": null,
          "target_parameters": null, "trainable_token_indices": null, "use_qalora": false
        }
        """;

    internal static JsonObject ToJson(LoraConfig config)
    {
        JsonObject json = config.Source?.DeepClone().AsObject() ?? [];
        foreach ((string name, JsonNode? value) in JsonNode.Parse(Defaults)!.AsObject())
        {
            if (!json.ContainsKey(name)) json[name] = value?.DeepClone();
        }
        json.Remove("runtime_config");
        json["peft_type"] = "LORA";
        json["task_type"] = config.TaskType;
        json["base_model_name_or_path"] = config.BaseModel;
        // PEFT always writes true here: the folder is read for inference unless the loader says otherwise.
        json["inference_mode"] = true;
        json["r"] = config.R;
        json["lora_alpha"] = ConfigJson.WholeOrReal(config.LoraAlpha);
        json["lora_dropout"] = ConfigJson.Real(config.LoraDropout);
        json["target_modules"] = config.TargetModules?.ToJson();
        json["exclude_modules"] = config.ExcludeModules?.ToJson();
        json["modules_to_save"] = config.ModulesToSave.Count == 0 ? null : Texts(config.ModulesToSave);
        json["layers_to_transform"] = config.LayersToTransform is null
            ? null
            : new JsonArray([.. config.LayersToTransform.Select(i => JsonValue.Create(i))]);
        json["layers_pattern"] = config.LayersPattern switch
        {
            null => null,
            [string one] => JsonValue.Create(one),
            var several => Texts(several),
        };
        json["rank_pattern"] = Pattern(config.RankPattern, static r => JsonValue.Create(r));
        json["alpha_pattern"] = Pattern(config.AlphaPattern, ConfigJson.WholeOrReal);
        json["bias"] = config.Bias switch
        {
            LoraBias.All => "all",
            LoraBias.LoraOnly => "lora_only",
            _ => "none",
        };
        json["use_rslora"] = config.UseRsLora;
        // Those that PEFT does not know, or that would change the base again, are done: the file brings the values.
        json["init_lora_weights"] = config.InitLoraWeights switch
        {
            LoraInit.Gaussian or LoraInit.Orthogonal => JsonValue.Create(LoraInitNames.Of(config.InitLoraWeights)),
            LoraInit.Random => JsonValue.Create(false),
            _ => JsonValue.Create(true),
        };
        json["use_dora"] = config.UseDora;
        json["lora_bias"] = config.BiasOnB;
        json["fan_in_fan_out"] = config.FanInFanOut;
        return json;
    }

    internal static JsonArray Texts(IEnumerable<string> texts) => new([.. texts.Select(t => JsonValue.Create(t))]);

    private static JsonObject Pattern<T>(IEnumerable<KeyValuePair<string, T>> pattern, Func<T, JsonNode> write) =>
        new(pattern.Select(p => KeyValuePair.Create(p.Key, (JsonNode?)write(p.Value))));
}
