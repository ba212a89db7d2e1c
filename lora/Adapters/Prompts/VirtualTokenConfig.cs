using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>How virtual tokens are made.</summary>
public enum VirtualTokenKind
{
    /// <summary>Keys and values of every layer: prefix tuning (Li and Liang 2021, arXiv 2101.00190).</summary>
    Prefix,

    /// <summary>Embeddings: prompt tuning (Lester et al. 2021, arXiv 2104.08691).</summary>
    Prompt,

    /// <summary>Embeddings that an encoder makes: P-tuning (Liu et al. 2021, arXiv 2103.10385).</summary>
    PTuning,
}

/// <summary>adapter_config.json of prefix tuning, prompt tuning and P-tuning, with PEFT's names and defaults.</summary>
public sealed record VirtualTokenConfig
{
    private static readonly string[] Types = ["PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING"];

    /// <summary>Which of the three.</summary>
    public required VirtualTokenKind Kind { get; init; }

    /// <summary><c>num_virtual_tokens</c>.</summary>
    public int Count { get; init; } = 20;

    /// <summary><c>encoder_hidden_size</c>: width of the encoder that is there in training; null for the tokens' own.
    /// Prefix tuning and P-tuning.</summary>
    public int? EncoderHiddenSize { get; init; }

    /// <summary><c>prefix_projection</c>: an MLP makes the prefix in training.</summary>
    public bool PrefixProjection { get; init; }

    /// <summary><c>encoder_reparameterization_type</c> LSTM instead of MLP; P-tuning.</summary>
    public bool Lstm { get; init; }

    /// <summary><c>encoder_num_layers</c> of the LSTM.</summary>
    public int EncoderLayers { get; init; } = 2;

    /// <summary><c>encoder_dropout</c> between the layers of the LSTM.</summary>
    public double EncoderDropout { get; init; }

    /// <summary><c>prompt_tuning_init_text</c>, where the tokens begin as those of a text.</summary>
    public string? InitText { get; init; }

    /// <summary><c>tokenizer_name_or_path</c>; PEFT wants it beside a text.</summary>
    public string? Tokenizer { get; init; }

    /// <summary><c>base_model_name_or_path</c>.</summary>
    public string? BaseModel { get; init; }

    /// <summary>Reads adapter_config.json from an adapter folder.</summary>
    /// <exception cref="UserErrorException">Missing, malformed or of another method.</exception>
    public static VirtualTokenConfig Read(string folder)
    {
        var json = AdapterFolder.Config(folder);
        var kind = Array.IndexOf(Types, json.String("peft_type"));
        if (kind < 0)
            throw json.Refuse("peft_type", "one of " + string.Join(", ", Types));
        if (json.Int("num_transformer_submodules", 1) != 1)
            throw json.Refuse("num_transformer_submodules", "1: only decoders are supported");
        return new VirtualTokenConfig
        {
            Kind = (VirtualTokenKind)kind,
            Count = json.RequiredInt("num_virtual_tokens"),
            EncoderHiddenSize = json.Int("encoder_hidden_size"),
            PrefixProjection = json.Bool("prefix_projection", false),
            Lstm = json.String("encoder_reparameterization_type") == "LSTM",
            EncoderLayers = json.Int("encoder_num_layers", 2),
            EncoderDropout = json.Double("encoder_dropout", 0),
            InitText = json.String("prompt_tuning_init_text"),
            Tokenizer = json.String("tokenizer_name_or_path"),
            BaseModel = json.String("base_model_name_or_path"),
        };
    }

    /// <summary>Checks the values against a model.</summary>
    /// <exception cref="UserErrorException">A value outside its range, or a prefix longer than the context.</exception>
    public void Validate(ModelConfig model)
    {
        if (Count < 1)
            throw new UserErrorException($"num_virtual_tokens must be at least 1, but is {Count}");
        if (Count >= model.MaxPositions)
            throw new UserErrorException(
                $"num_virtual_tokens must leave room in the model's context (max_position_embeddings), but is {Count} "
                + $"of {model.MaxPositions}");
        if (EncoderHiddenSize < 1 || EncoderLayers < 1)
            throw new UserErrorException(
                "encoder_hidden_size and encoder_num_layers must be at least 1, but are "
                + $"{EncoderHiddenSize} and {EncoderLayers}");
        if (EncoderDropout is < 0 or >= 1)
            throw new UserErrorException($"encoder_dropout must be at least 0 and below 1, but is {EncoderDropout}");
    }

    internal void Write(string folder, ModelConfig model)
    {
        var prefix = Kind == VirtualTokenKind.Prefix;
        // PEFT counts the heads of keys and values where a prefix goes.
        var heads = prefix ? model.KeyValueHeads : model.Heads;
        var width = prefix ? model.KeyValueHeads * model.HeadDim : model.HiddenSize;
        var json = new JsonObject
        {
            ["peft_type"] = Types[(int)Kind],
            ["task_type"] = "CAUSAL_LM",
            ["base_model_name_or_path"] = BaseModel,
            ["auto_mapping"] = null,
            ["revision"] = null,
            ["inference_mode"] = true,
            ["modules_to_save"] = null,
            ["num_virtual_tokens"] = Count,
            ["num_transformer_submodules"] = 1,
            ["token_dim"] = width,
            ["num_attention_heads"] = heads,
            ["num_layers"] = model.Layers,
        };
        switch (Kind)
        {
            case VirtualTokenKind.Prefix:
                json["encoder_hidden_size"] = EncoderHiddenSize ?? width;
                json["prefix_projection"] = PrefixProjection;
                break;
            case VirtualTokenKind.Prompt:
                json["prompt_tuning_init"] = InitText is null ? "RANDOM" : "TEXT";
                json["prompt_tuning_init_text"] = InitText;
                json["tokenizer_name_or_path"] = Tokenizer;
                json["tokenizer_kwargs"] = null;
                break;
            default:
                json["encoder_reparameterization_type"] = Lstm ? "LSTM" : "MLP";
                json["encoder_hidden_size"] = EncoderHiddenSize ?? width;
                json["encoder_num_layers"] = EncoderLayers;
                json["encoder_dropout"] = ConfigJson.Real(EncoderDropout);
                break;
        }
        ConfigJson.Write(Path.Combine(folder, LoraConfig.FileName), json);
    }
}
