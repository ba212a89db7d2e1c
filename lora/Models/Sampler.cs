using CudaLora.Kernels.Simd;

namespace CudaLora.Lora;

/// <summary>
/// Chooses the next token from logits: temperature, then top-k, then top-p, in the order of Hugging Face. Equal logits
/// are ordered by id. Each draw is a function of (seed, row, step) alone.
/// </summary>
public sealed unsafe class Sampler
{
    private readonly SamplingOptions options;
    private double[] weights = [];
    private ulong[] order = [];

    /// <summary>A sampler; its buffers grow to the vocabulary at the first draw.</summary>
    public Sampler(SamplingOptions options)
    {
        options.Validate();
        this.options = options;
    }

    /// <summary>The next token.</summary>
    /// <param name="logits">One value per token of the vocabulary.</param>
    /// <param name="row">Number of the text in its batch.</param>
    /// <param name="step">Number of the token in its continuation.</param>
    public int Next(ReadOnlySpan<float> logits, int row, int step)
    {
        var best = Likeliest(logits);
        if (options.IsGreedy || options.TopK == 1)
            return best;
        if (weights.Length < logits.Length)
            (weights, order) = (new double[logits.Length], new ulong[logits.Length]);
        double total = 0;
        for (var i = 0; i < logits.Length; i++)
        {
            weights[i] = Math.Exp(((double)logits[i] - logits[best]) / options.Temperature);
            total += weights[i];
        }
        var limited = options.TopK > 0 && options.TopK < logits.Length;
        if (!limited && options.TopP == 1)
            return Walk(total * Uniform(row, step), logits.Length, best);
        return Among(Candidates(logits, limited, total), limited, total, Uniform(row, step), best);
    }

    private static int Likeliest(ReadOnlySpan<float> logits)
    {
        var best = 0;
        for (var i = 1; i < logits.Length; i++)
        {
            if (logits[i] > logits[best])
                best = i;
        }
        return best;
    }

    private int Walk(double target, int count, int fallback)
    {
        for (var i = 0; i < count; i++)
        {
            target -= weights[i];
            if (target < 0)
                return i;
        }
        return fallback;
    }

    // Fills `order` with keys that sort by descending logit, then by id, and returns how many.
    private int Candidates(ReadOnlySpan<float> logits, bool limited, double total)
    {
        // Without top-k, tokens this unlikely add up to less than what top-p leaves out.
        var least = limited ? 0 : (1 - options.TopP) * total / logits.Length;
        var count = 0;
        for (var i = 0; i < logits.Length; i++)
        {
            if (weights[i] >= least)
                order[count++] = Key(logits[i], i);
        }
        order.AsSpan(0, count).Sort();
        return limited ? Math.Min(count, options.TopK) : count;
    }

    private int Among(int count, bool limited, double total, double uniform, int fallback)
    {
        if (limited)
        {
            total = 0;
            for (var i = 0; i < count; i++)
                total += weights[(int)(uint)order[i]];
        }
        double kept = 0;
        var n = 0;
        while (n < count && kept < options.TopP * total)
            kept += weights[(int)(uint)order[n++]];
        var target = kept * uniform;
        for (var i = 0; i < n; i++)
        {
            var id = (int)(uint)order[i];
            target -= weights[id];
            if (target < 0)
                return id;
        }
        return fallback;
    }

    private static ulong Key(float logit, int id)
    {
        var bits = BitConverter.SingleToUInt32Bits(logit == 0 ? 0f : logit);
        var ascending = (bits & 0x80000000) != 0 ? ~bits : bits | 0x80000000;
        return ((ulong)~ascending << 32) | (uint)id;
    }

    // 53 random bits in [0, 1).
    private double Uniform(int row, int step)
    {
        var words = stackalloc uint[4];
        Philox.Block((ulong)step, (ulong)row, options.Seed, words);
        return ((((ulong)words[0] << 32) | words[1]) >> 11) * (1.0 / (1UL << 53));
    }
}
