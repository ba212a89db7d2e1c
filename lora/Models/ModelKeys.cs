using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Which key of a model folder holds which parameter.</summary>
internal static class ModelKeys
{
    internal const string Head = "lm_head.weight";

    // Rotary tables and causal masks that old checkpoints store; heads of other tasks.
    private static readonly string[] Ignorable =
        [".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", "score.weight", "classifier.weight"];

    internal static ParameterPath Body(ModelConfig config) =>
        new(config.Family == ModelFamily.Gpt2 ? "transformer" : "model");

    internal static ParameterPath Embedding(ModelConfig config) =>
        Body(config) / (config.Family == ModelFamily.Gpt2 ? "wte" : "embed_tokens");

    /// <summary>
    /// The key of a parameter, or null. A folder saved from the part below the head lacks the prefix, and a tied model
    /// may store its one matrix under the head's name.
    /// </summary>
    internal static string? Find(string name, ModelConfig config, SafetensorsSet weights)
    {
        if (weights.Tensors.ContainsKey(name))
            return name;
        var prefix = Body(config).Value + ".";
        if (name.StartsWith(prefix, StringComparison.Ordinal) && weights.Tensors.ContainsKey(name[prefix.Length..]))
            return name[prefix.Length..];
        return config.TieWordEmbeddings && name == (Embedding(config) / "weight").Value
            && weights.Tensors.ContainsKey(Head) ? Head : null;
    }

    internal static bool IsIgnorable(string key, ModelConfig config) =>
        (config.TieWordEmbeddings && key == Head)
        || key.StartsWith("v_head.", StringComparison.Ordinal)
        || Ignorable.Any(end => key.EndsWith(end, StringComparison.Ordinal));
}
