using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Kernels.Simd;

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

    internal static RopeFrequencies Frequencies(double theta, RopeScaling? scaling) => scaling switch
    {
        Linear linear => new RopeFrequencies(
            (float)theta, Kernels.Simd.RopeScaling.Linear, (float)linear.Factor),
        Llama3 llama => new RopeFrequencies(
            (float)theta, Kernels.Simd.RopeScaling.Llama3, (float)llama.Factor, (float)llama.LowFreqFactor,
            (float)llama.HighFreqFactor, llama.OriginalMaxPositions),
        _ => new RopeFrequencies((float)theta),
    };

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
