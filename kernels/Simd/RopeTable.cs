namespace CudaLora.Kernels.Simd;

/// <summary>How rotary frequencies are stretched beyond the trained context.</summary>
public enum RopeScaling
{
    /// <summary>As trained.</summary>
    None,

    /// <summary>Positions divided by the factor (Chen et al. 2023; rope_type "linear").</summary>
    Linear,

    /// <summary>Low frequencies divided, high ones kept, smooth between (rope_type "llama3").</summary>
    Llama3,
}

/// <summary>Rotary frequencies as config.json states them.</summary>
/// <param name="Theta">Base of the geometric series: rope_theta.</param>
/// <param name="Scaling">Kind of stretching.</param>
/// <param name="Factor">rope_scaling.factor.</param>
/// <param name="LowFrequency">rope_scaling.low_freq_factor (llama3).</param>
/// <param name="HighFrequency">rope_scaling.high_freq_factor (llama3).</param>
/// <param name="OriginalContext">rope_scaling.original_max_position_embeddings (llama3).</param>
public readonly record struct RopeFrequencies(
    float Theta = 10000f,
    RopeScaling Scaling = RopeScaling.None,
    float Factor = 1f,
    float LowFrequency = 1f,
    float HighFrequency = 4f,
    int OriginalContext = 8192)
{
    /// <summary>Radians per position of pair <paramref name="pair"/> of a head of <paramref name="headDim"/>.</summary>
    public double At(int pair, int headDim)
    {
        var frequency = 1.0 / Math.Pow(Theta, 2.0 * pair / headDim);
        return Scaling switch
        {
            RopeScaling.Linear => frequency / Factor,
            RopeScaling.Llama3 => Llama3(frequency),
            _ => frequency,
        };
    }

    private double Llama3(double frequency)
    {
        var turns = OriginalContext * frequency / (2 * Math.PI);
        if (turns < LowFrequency)
            return frequency / Factor;
        if (turns > HighFrequency)
            return frequency;
        var smooth = (turns - LowFrequency) / (HighFrequency - LowFrequency);
        return (1 - smooth) * frequency / Factor + smooth * frequency;
    }
}

/// <summary>Cosines and sines of rotary angles, computed once per model.</summary>
public static unsafe class RopeTable
{
    /// <summary>Fills cos and sin, both (positions, headDim / 2).</summary>
    /// <remarks>
    /// Frequency and angle are rounded to float first, as the reference implementations do; the cosine of the exact
    /// angle would differ by up to 5e-4 at position 8192.
    /// </remarks>
    public static void Fill(float* cos, float* sin, int positions, int headDim, RopeFrequencies frequencies)
    {
        var half = headDim / 2;
        for (var pair = 0; pair < half; pair++)
        {
            var frequency = (float)frequencies.At(pair, headDim);
            for (var position = 0; position < positions; position++)
            {
                var (s, c) = Math.SinCos(position * frequency);
                cos[(long)position * half + pair] = (float)c;
                sin[(long)position * half + pair] = (float)s;
            }
        }
    }
}
