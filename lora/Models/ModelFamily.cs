namespace CudaLora.Lora;

/// <summary>The model families that can be loaded: the <c>model_type</c> of config.json.</summary>
public enum ModelFamily
{
    /// <summary>Llama 1 to 3: RMSNorm, rotary positions, gated MLP.</summary>
    Llama,

    /// <summary>Mistral: Llama with a sliding window on every layer.</summary>
    Mistral,

    /// <summary>Qwen 2 and 2.5: Llama with biases on q, k and v.</summary>
    Qwen2,

    /// <summary>Qwen 3: Llama with RMSNorm over each head of q and k.</summary>
    Qwen3,

    /// <summary>GPT-2: LayerNorm, learned positions, weights stored (in, out).</summary>
    Gpt2,
}

/// <summary>The non-linearity of the MLP.</summary>
public enum Activation
{
    /// <summary>x times sigmoid(x).</summary>
    Silu,

    /// <summary>x times the normal distribution function of x.</summary>
    Gelu,

    /// <summary>The tanh approximation of GELU; <c>gelu_new</c>, <c>gelu_pytorch_tanh</c>.</summary>
    GeluTanh,
}

/// <summary>Names in config.json for the enumerations.</summary>
internal static class ModelNames
{
    internal const string Families = "llama, mistral, qwen2, qwen3, gpt2";

    internal const string Activations = "silu, swish, gelu, gelu_new, gelu_fast, gelu_pytorch_tanh";

    internal static ModelFamily? Family(string? modelType) => modelType switch
    {
        "llama" => ModelFamily.Llama,
        "mistral" => ModelFamily.Mistral,
        "qwen2" => ModelFamily.Qwen2,
        "qwen3" => ModelFamily.Qwen3,
        "gpt2" => ModelFamily.Gpt2,
        _ => null,
    };

    internal static string ModelType(ModelFamily family) => family switch
    {
        ModelFamily.Llama => "llama",
        ModelFamily.Mistral => "mistral",
        ModelFamily.Qwen2 => "qwen2",
        ModelFamily.Qwen3 => "qwen3",
        _ => "gpt2",
    };

    internal static string Architecture(ModelFamily family) => family switch
    {
        ModelFamily.Llama => "LlamaForCausalLM",
        ModelFamily.Mistral => "MistralForCausalLM",
        ModelFamily.Qwen2 => "Qwen2ForCausalLM",
        ModelFamily.Qwen3 => "Qwen3ForCausalLM",
        _ => "GPT2LMHeadModel",
    };

    internal static Activation? ParseActivation(string name) => name switch
    {
        "silu" or "swish" => Activation.Silu,
        "gelu" => Activation.Gelu,
        "gelu_new" or "gelu_fast" or "gelu_pytorch_tanh" => Activation.GeluTanh,
        _ => null,
    };

    internal static string Name(Activation activation) => activation switch
    {
        Activation.Silu => "silu",
        Activation.Gelu => "gelu",
        _ => "gelu_new",
    };
}
