using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Puts a <see cref="ModelConfig"/> back into the spelling of its family's config.json.</summary>
internal static class ModelConfigWriter
{
    /// <summary>The config as that of a sequence classifier with one label, which a reward model is.</summary>
    internal static ModelConfig AsClassifier(ModelConfig config)
    {
        JsonObject json = config.Source?.DeepClone().AsObject() ?? [];
        string name = ModelNames.Architecture(config.Family);
        json["architectures"] = new JsonArray(name
            .Replace("LMHeadModel", "ForSequenceClassification", StringComparison.Ordinal)
            .Replace("ForCausalLM", "ForSequenceClassification", StringComparison.Ordinal));
        json["id2label"] = new JsonObject { ["0"] = "LABEL_0" };
        json["label2id"] = new JsonObject { ["LABEL_0"] = 0 };
        return config with { Source = json };
    }

    internal static JsonObject ToJson(ModelConfig config, string torchDType, QuantizationOptions? quantization)
    {
        JsonObject json = config.Source?.DeepClone().AsObject() ?? [];
        json["architectures"] ??= new JsonArray(ModelNames.Architecture(config.Family));
        json["model_type"] = config.ModelType;
        json["vocab_size"] = config.VocabSize;
        json["initializer_range"] = config.InitializerRange;
        json["tie_word_embeddings"] = config.TieWordEmbeddings;
        json["bos_token_id"] = config.BosTokenId;
        json["eos_token_id"] = config.EosTokenIds.Count switch
        {
            0 => null,
            1 => config.EosTokenIds[0],
            _ => new JsonArray([.. config.EosTokenIds.Select(id => JsonValue.Create(id))]),
        };
        if (config.PadTokenId is not null || json.ContainsKey("pad_token_id")) json["pad_token_id"] = config.PadTokenId;
        // Newer files call it dtype; whichever is there is corrected, the older name is understood by all versions.
        json[json.ContainsKey("dtype") ? "dtype" : "torch_dtype"] = torchDType;
        json.Remove(QuantizationConfig.Field);
        if (quantization is not null) json[QuantizationConfig.Field] = QuantizationConfig.ToJson(quantization);
        if (config.Family == ModelFamily.Gpt2) WriteGpt2(config, json);
        else WriteLlamaLike(config, json);
        return json;
    }

    private static void WriteGpt2(ModelConfig config, JsonObject json)
    {
        json["n_embd"] = config.HiddenSize;
        json["n_head"] = config.Heads;
        json["n_layer"] = config.Layers;
        json["n_inner"] = config.IntermediateSize == 4 * config.HiddenSize ? null : config.IntermediateSize;
        json["n_positions"] = config.MaxPositions;
        if (json.ContainsKey("n_ctx")) json["n_ctx"] = config.MaxPositions;
        json["layer_norm_epsilon"] = config.NormEps;
        SetActivation(json, "activation_function", config.Activation);
    }

    private static void WriteLlamaLike(ModelConfig config, JsonObject json)
    {
        json["hidden_size"] = config.HiddenSize;
        json["intermediate_size"] = config.IntermediateSize;
        json["num_hidden_layers"] = config.Layers;
        json["num_attention_heads"] = config.Heads;
        json["num_key_value_heads"] = config.KeyValueHeads;
        json["head_dim"] = config.HeadDim;
        json["max_position_embeddings"] = config.MaxPositions;
        json["rms_norm_eps"] = config.NormEps;
        SetActivation(json, "hidden_act", config.Activation);
        if (config.Family is ModelFamily.Llama or ModelFamily.Qwen3)
            json["attention_bias"] = config.AttentionOutputBias;
        if (config.Family == ModelFamily.Llama) json["mlp_bias"] = config.MlpBias;
        WriteRope(config, json);
        WriteWindows(config, json);
    }

    private static void WriteRope(ModelConfig config, JsonObject json)
    {
        if (json["rope_parameters"] is JsonObject)
        {
            JsonObject rope = config.RopeScaling?.ToJson() ?? new JsonObject { ["rope_type"] = "default" };
            rope["rope_theta"] = ConfigJson.Real(config.RopeTheta);
            json["rope_parameters"] = rope;
            return;
        }
        json["rope_theta"] = ConfigJson.Real(config.RopeTheta);
        json["rope_scaling"] = config.RopeScaling?.ToJson();
    }

    private static void WriteWindows(ModelConfig config, JsonObject json)
    {
        if (config.Family == ModelFamily.Llama) return;
        bool qwen = config.Family != ModelFamily.Mistral;
        int window = config.Windows.Count == 0 ? 0 : config.Windows.Max();
        if (window > 0 || !qwen) json["sliding_window"] = window > 0 ? window : null;
        if (qwen) json["use_sliding_window"] = window > 0;
        bool mixed = config.Windows.Distinct().Count() > 1;
        if (mixed || json.ContainsKey("layer_types"))
            json["layer_types"] = new JsonArray([.. Enumerable.Range(0, config.Layers)
                .Select(i => JsonValue.Create(config.WindowOf(i) > 0 ? "sliding_attention" : "full_attention"))]);
        else if (qwen && window > 0)
            json["max_window_layers"] = 0;
    }

    private static void SetActivation(JsonObject json, string name, Activation activation)
    {
        // Spellings of the same function are kept as they were.
        string? old = json[name]?.GetValue<string>();
        if (old is null || ModelNames.ParseActivation(old) != activation) json[name] = ModelNames.Name(activation);
    }
}
