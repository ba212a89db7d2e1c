using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>How rotary frequencies are stretched beyond the length the model was first trained with.</summary>
public abstract record RopeScaling
{
    /// <summary>All positions divided by a factor.</summary>
    public sealed record Linear(double Factor) : RopeScaling;

    /// <summary>
    /// Llama 3.1: long wavelengths divided by the factor, short ones kept, a smooth passage between the two bounds.
    /// </summary>
    public sealed record Llama3(
        double Factor, double LowFreqFactor, double HighFreqFactor, int OriginalMaxPositions) : RopeScaling;

    /// <summary>
    /// Angle per position for each pair of a head: <c>theta^(-2i / headDim)</c>, scaled. Computed in double, so that the
    /// table is the same on every machine.
    /// </summary>
    public static double[] Frequencies(int headDim, double theta, RopeScaling? scaling)
    {
        double[] frequencies = new double[headDim / 2];
        for (int i = 0; i < frequencies.Length; i++)
        {
            double f = Math.Pow(theta, -2.0 * i / headDim);
            frequencies[i] = scaling switch
            {
                Linear linear => f / linear.Factor,
                Llama3 llama => llama.Scale(f),
                _ => f,
            };
        }
        return frequencies;
    }

    internal static RopeScaling? Parse(JsonFields? fields)
    {
        string type = fields?.String("rope_type") ?? fields?.String("type") ?? "default";
        switch (type)
        {
            case "default":
                return null;
            case "linear":
                return new Linear(Positive(fields!, "factor"));
            case "llama3":
                var llama = new Llama3(
                    Positive(fields!, "factor"), Positive(fields!, "low_freq_factor"),
                    Positive(fields!, "high_freq_factor"), fields!.RequiredInt("original_max_position_embeddings"));
                return llama.HighFreqFactor > llama.LowFreqFactor
                    ? llama
                    : throw fields.Refuse("high_freq_factor", $"above low_freq_factor ({llama.LowFreqFactor})");
            default:
                throw fields!.Refuse(fields.Has("rope_type") ? "rope_type" : "type", "one of default, linear, llama3");
        }
    }

    internal JsonObject ToJson() => this switch
    {
        Linear linear => new JsonObject { ["rope_type"] = "linear", ["factor"] = linear.Factor },
        Llama3 llama => new JsonObject
        {
            ["rope_type"] = "llama3",
            ["factor"] = llama.Factor,
            ["low_freq_factor"] = llama.LowFreqFactor,
            ["high_freq_factor"] = llama.HighFreqFactor,
            ["original_max_position_embeddings"] = llama.OriginalMaxPositions,
        },
        _ => throw new InvalidOperationException($"[rope] unknown scaling {this}"),
    };

    private static double Positive(JsonFields fields, string name) =>
        fields.Double(name) is double value && value > 0 ? value : throw fields.Refuse(name, "a number above 0");
}

/// <summary>The Llama 3 passage between kept and divided frequencies.</summary>
internal static class Llama3Rope
{
    internal static double Scale(this RopeScaling.Llama3 rope, double frequency)
    {
        double wavelength = 2 * Math.PI / frequency;
        double turns = rope.OriginalMaxPositions / wavelength;
        if (turns > rope.HighFreqFactor) return frequency;
        if (turns < rope.LowFreqFactor) return frequency / rope.Factor;
        double smooth = (turns - rope.LowFreqFactor) / (rope.HighFreqFactor - rope.LowFreqFactor);
        return (1 - smooth) * frequency / rope.Factor + smooth * frequency;
    }
}
