namespace CudaLora.Lora;

/// <summary>What a module of a model is, as far as adapters care.</summary>
public enum ModuleKind
{
    /// <summary>A block, a norm, an activation: nothing an adapter attaches to.</summary>
    Other,

    /// <summary>y = x Wᵀ with W (out, in).</summary>
    Linear,

    /// <summary>GPT-2's linear, W stored (in, out).</summary>
    Conv1D,

    /// <summary>A table of rows.</summary>
    Embedding,

    /// <summary>The linear that makes the logits; <c>all-linear</c> leaves it out.</summary>
    OutputEmbedding,
}

/// <summary>A module of a model: its path, such as <c>model.layers.0.self_attn.q_proj</c>, and its kind.</summary>
public readonly record struct ModulePath(string Path, ModuleKind Kind)
{
    /// <summary>True if a LoRA adapter can be attached.</summary>
    public bool IsLinear => Kind is ModuleKind.Linear or ModuleKind.Conv1D or ModuleKind.OutputEmbedding;
}
