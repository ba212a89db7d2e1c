using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Reads config.json with the defaults of Hugging Face transformers for each family.</summary>
internal static class ModelConfigReader
{
    internal static ModelConfig Read(JsonFields json)
    {
        if (!json.Has("model_type"))
            throw json.Refuse("model_type", $"one of {ModelNames.Families}");
        ModelFamily family = ModelNames.Family(json.String("model_type"))
            ?? throw json.Refuse("model_type", $"one of {ModelNames.Families}");
        QuantizationConfig.Check(json);
        return family == ModelFamily.Gpt2 ? ReadGpt2(json) : ReadLlamaLike(json, family);
    }

    private static ModelConfig ReadLlamaLike(JsonFields json, ModelFamily family)
    {
        bool qwen = family is ModelFamily.Qwen2 or ModelFamily.Qwen3;
        int heads = json.RequiredInt("num_attention_heads");
        int hidden = json.RequiredInt("hidden_size");
        int layers = json.RequiredInt("num_hidden_layers");
        bool attentionBias = family is ModelFamily.Llama or ModelFamily.Qwen3 && json.Bool("attention_bias", false);
        (double theta, RopeScaling? scaling) = ReadRope(json);
        var config = new ModelConfig
        {
            Family = family,
            Source = json.Root,
            VocabSize = json.RequiredInt("vocab_size"),
            HiddenSize = hidden,
            IntermediateSize = json.RequiredInt("intermediate_size"),
            Layers = layers,
            Heads = heads,
            KeyValueHeads = json.Has("num_key_value_heads") ? json.RequiredInt("num_key_value_heads") : heads,
            HeadDim = json.Has("head_dim") ? json.RequiredInt("head_dim")
                : family == ModelFamily.Qwen3 ? 128 : Divided(json, hidden, heads),
            MaxPositions = json.Int("max_position_embeddings", family switch
            {
                ModelFamily.Llama => 2048,
                ModelFamily.Mistral => 131072,
                _ => 32768,
            }),
            NormEps = json.Double("rms_norm_eps", 1e-6),
            RopeTheta = theta,
            RopeScaling = scaling,
            TieWordEmbeddings = json.Bool("tie_word_embeddings", false),
            QkvBias = family == ModelFamily.Qwen2 || attentionBias,
            AttentionOutputBias = attentionBias,
            MlpBias = family == ModelFamily.Llama && json.Bool("mlp_bias", false),
            Activation = ReadActivation(json, "hidden_act", "silu"),
            Windows = ReadWindows(json, family, layers),
            InitializerRange = json.Double("initializer_range", 0.02),
            BosTokenId = Default(json, "bos_token_id", json.Int("bos_token_id"), qwen ? null : 1),
            EosTokenIds = Default(json, "eos_token_id", json.Ints("eos_token_id"), qwen ? null : [2]) ?? [],
            PadTokenId = json.Int("pad_token_id"),
        };
        if (heads % config.KeyValueHeads != 0)
            throw json.Refuse("num_key_value_heads", $"a divisor of num_attention_heads ({heads})");
        if (config.HeadDim % 2 != 0)
            throw json.Refuse("head_dim", $"even, for rotary positions ({config.HeadDim} from hidden_size / heads)");
        return Checked(json, config);
    }

    private static ModelConfig ReadGpt2(JsonFields json)
    {
        int heads = json.RequiredInt("n_head"), hidden = json.RequiredInt("n_embd");
        RefuseTrue(json, "scale_attn_by_inverse_layer_idx");
        RefuseTrue(json, "add_cross_attention");
        if (!json.Bool("scale_attn_weights", true)) throw json.Refuse("scale_attn_weights", "true");
        return Checked(json, new ModelConfig
        {
            Family = ModelFamily.Gpt2,
            Source = json.Root,
            VocabSize = json.RequiredInt("vocab_size"),
            HiddenSize = hidden,
            IntermediateSize = json.Has("n_inner") ? json.RequiredInt("n_inner") : 4 * hidden,
            Layers = json.RequiredInt("n_layer"),
            Heads = heads,
            KeyValueHeads = heads,
            HeadDim = Divided(json, hidden, heads),
            MaxPositions = json.Int("n_positions") ?? json.Int("n_ctx", 1024),
            NormEps = json.Double("layer_norm_epsilon", 1e-5),
            TieWordEmbeddings = json.Bool("tie_word_embeddings", true),
            QkvBias = true,
            AttentionOutputBias = true,
            MlpBias = true,
            Activation = ReadActivation(json, "activation_function", "gelu_new"),
            InitializerRange = json.Double("initializer_range", 0.02),
            BosTokenId = Default(json, "bos_token_id", json.Int("bos_token_id"), 50256),
            EosTokenIds = Default(json, "eos_token_id", json.Ints("eos_token_id"), [50256]) ?? [],
            PadTokenId = json.Int("pad_token_id"),
        });
    }

    private static (double Theta, RopeScaling? Scaling) ReadRope(JsonFields json)
    {
        // Newer files say {"rope_parameters": {"rope_theta": ..., "rope_type": ...}}, older ones two fields.
        JsonFields? rope = json.Object("rope_parameters");
        double theta = rope?.Double("rope_theta") ?? json.Double("rope_theta", 10000);
        if (theta <= 0) throw (rope ?? json).Refuse("rope_theta", "a number above 0");
        foreach (JsonFields? fields in (JsonFields?[])[json, rope])
        {
            if (fields is not null && fields.Double("partial_rotary_factor", 1) != 1)
                throw fields.Refuse("partial_rotary_factor", "1");
        }
        foreach (string perLayer in (string[])["full_attention", "sliding_attention"])
        {
            if (rope?.Has(perLayer) == true) throw rope.Refuse(perLayer, "absent (one rope for all layers)");
        }
        return (theta, RopeScaling.Parse(rope ?? json.Object("rope_scaling")));
    }

    private static int[] ReadWindows(JsonFields json, ModelFamily family, int layers)
    {
        IReadOnlyList<string>? types = json.Strings("layer_types");
        if (types is not null && (types.Count != layers
            || types.Any(t => t is not ("full_attention" or "sliding_attention"))))
            throw json.Refuse("layer_types", $"{layers} times full_attention or sliding_attention");
        bool on = family switch
        {
            ModelFamily.Llama => types?.Contains("sliding_attention") == true
                ? throw json.Refuse("layer_types", "full_attention for model_type llama")
                : false,
            // Transformers' default when the field is missing is 4096; a null switches the window off.
            ModelFamily.Mistral => !json.Root.ContainsKey("sliding_window") || json.Has("sliding_window"),
            _ => json.Bool("use_sliding_window", false)
                && (!json.Root.ContainsKey("sliding_window") || json.Has("sliding_window")),
        };
        if (!on)
            return types?.Contains("sliding_attention") == true
                ? throw json.Refuse("layer_types", "full_attention, as no sliding_window is set")
                : [];
        int window = json.Has("sliding_window") ? json.RequiredInt("sliding_window") : 4096;
        int first = family == ModelFamily.Mistral ? 0 : json.Int("max_window_layers", 28);
        int[] windows = new int[layers];
        for (int i = 0; i < layers; i++)
        {
            bool slides = types is null ? i >= first : types[i] == "sliding_attention";
            windows[i] = slides ? window : 0;
        }
        return windows.All(w => w == 0) ? [] : windows;
    }

    private static Activation ReadActivation(JsonFields json, string name, string fallback) =>
        ModelNames.ParseActivation(json.String(name) ?? fallback)
            ?? throw json.Refuse(name, $"one of {ModelNames.Activations}");

    // A null in the file means none; only a missing field takes the family's default.
    private static T? Default<T>(JsonFields json, string name, T? value, T? fallback) =>
        json.Root.ContainsKey(name) ? value : fallback;

    private static int Divided(JsonFields json, int hidden, int heads) => hidden % heads == 0
        ? hidden / heads
        : throw json.Refuse(json.Has("n_head") ? "n_head" : "num_attention_heads", $"a divisor of the width {hidden}");

    private static ModelConfig Checked(JsonFields json, ModelConfig config)
    {
        string eps = config.Family == ModelFamily.Gpt2 ? "layer_norm_epsilon" : "rms_norm_eps";
        if (config.NormEps is <= 0 or >= 1) throw json.Refuse(eps, "a number between 0 and 1");
        if (config.MaxPositions < 1) throw json.Refuse("max_position_embeddings", "a whole number of at least 1");
        if (config.InitializerRange < 0) throw json.Refuse("initializer_range", "a number of at least 0");
        return config;
    }

    private static void RefuseTrue(JsonFields json, string name)
    {
        if (json.Bool(name, false)) throw json.Refuse(name, "false");
    }
}
