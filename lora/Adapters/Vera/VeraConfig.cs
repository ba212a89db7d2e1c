using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>adapter_config.json of a VeRA adapter, with PEFT's names and defaults.</summary>
public sealed record VeraConfig
{
    /// <summary>Which layers.</summary>
    public AdapterTargets Targets { get; init; } = new();

    /// <summary><c>r</c>: rank of the projections that all layers share.</summary>
    public int R { get; init; } = 256;

    /// <summary><c>vera_dropout</c>: on the adapter's input, in training only.</summary>
    public double Dropout { get; init; }

    /// <summary><c>d_initial</c>: every value of d at first.</summary>
    public double DInitial { get; init; } = 0.1;

    /// <summary>Reads adapter_config.json from an adapter folder.</summary>
    /// <exception cref="UserErrorException">Missing, malformed, not VeRA's, or without the projections, whose random
    /// numbers are PyTorch's.</exception>
    public static VeraConfig Read(string folder)
    {
        var json = AdapterFolder.Config(folder);
        if (!json.Bool("save_projection", true))
            throw json.Refuse(
                "save_projection", "true: the projections are random numbers of PyTorch's, which are not made again");
        var config = new VeraConfig
        {
            Targets = AdapterTargets.Read(json, "VERA"),
            R = json.RequiredInt("r"),
            Dropout = json.Double("vera_dropout", 0),
            DInitial = json.Double("d_initial", 0.1),
        };
        config.Validate();
        return config;
    }

    /// <summary>Checks the values.</summary>
    /// <exception cref="UserErrorException">A value outside its range.</exception>
    public void Validate()
    {
        if (R < 1) throw new UserErrorException($"r must be at least 1, but is {R}");
        if (Dropout is < 0 or >= 1)
            throw new UserErrorException($"vera_dropout must be at least 0 and below 1, but is {Dropout}");
    }

    internal void Write(string folder, bool fanInFanOut)
    {
        var json = Targets.ToJson("VERA", fanInFanOut);
        json["r"] = R;
        json["vera_dropout"] = ConfigJson.Real(Dropout);
        json["d_initial"] = ConfigJson.Real(DInitial);
        json["save_projection"] = true;
        json["init_weights"] = true;
        json["bias"] = "none";
        json.TryAdd("projection_prng_key", 0);
        json.TryAdd("layers_to_transform", null);
        json.TryAdd("layers_pattern", null);
        ConfigJson.Write(Path.Combine(folder, LoraConfig.FileName), json);
    }
}
