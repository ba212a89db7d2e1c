using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>adapter_config.json of an (IA)³ adapter, with PEFT's names and defaults.</summary>
public sealed record Ia3Config
{
    /// <summary>Which layers.</summary>
    public AdapterTargets Targets { get; init; } = new();

    /// <summary>
    /// <c>feedforward_modules</c>: those of the targets whose input is scaled instead of their output; null means the
    /// usual ones of the family.
    /// </summary>
    public ModuleSelector? Feedforward { get; init; }

    /// <summary>The layers PEFT adapts when the config does not say.</summary>
    public static ModuleSelector UsualTargets(ModelFamily family) => family == ModelFamily.Gpt2
        ? ModuleSelector.Of("c_attn", "mlp.c_proj")
        : ModuleSelector.Of("k_proj", "v_proj", "down_proj");

    /// <summary>Those of them whose input is scaled.</summary>
    public static ModuleSelector UsualFeedforward(ModelFamily family) =>
        ModuleSelector.Of(family == ModelFamily.Gpt2 ? "mlp.c_proj" : "down_proj");

    /// <summary>Reads adapter_config.json from an adapter folder.</summary>
    /// <exception cref="UserErrorException">Missing, malformed or not (IA)³'s.</exception>
    public static Ia3Config Read(string folder)
    {
        var json = AdapterFolder.Config(folder);
        return new Ia3Config
        {
            Targets = AdapterTargets.Read(json, "IA3"),
            Feedforward = LoraConfigReader.ReadSelector(json, "feedforward_modules"),
        };
    }

    internal void Write(string folder, bool fanInFanOut)
    {
        var json = Targets.ToJson("IA3", fanInFanOut);
        json["feedforward_modules"] = Feedforward?.ToJson() ?? new JsonArray();
        json["init_ia3_weights"] = true;
        ConfigJson.Write(Path.Combine(folder, LoraConfig.FileName), json);
    }
}
