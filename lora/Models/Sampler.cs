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
        if (options.TopK > 0 && options.TopK < logits.Length)
        {
            Keep(logits, options.TopK);
            for (var i = 0; i < options.TopK; i++)
                total += Weigh(logits, (int)(uint)order[i], best);
            return Among(options.TopK, total, Uniform(row, step), best);
        }
        for (var i = 0; i < logits.Length; i++)
            total += Weigh(logits, i, best);
        return options.TopP == 1
            ? Walk(total * Uniform(row, step), logits.Length, best)
            : Among(Candidates(logits, total), total, Uniform(row, step), best);
    }

    private double Weigh(ReadOnlySpan<float> logits, int id, int best) =>
        weights[id] = Math.Exp(((double)logits[id] - logits[best]) / options.Temperature);

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

    // Puts the keys of the likeliest tokens into `order`, the likeliest first. Of a vocabulary only few are ever moved:
    // the first `count` places are a heap with the least likely on top, which the others have to beat.
    private void Keep(ReadOnlySpan<float> logits, int count)
    {
        var kept = order.AsSpan(0, count);
        for (var i = 0; i < count; i++)
            kept[i] = Key(logits[i], i);
        kept.Sort(static (a, b) => b.CompareTo(a));
        for (var i = count; i < logits.Length; i++)
        {
            var key = Key(logits[i], i);
            if (key < kept[0])
                Sink(kept, key);
        }
        kept.Sort();
    }

    // Replaces the top of a heap.
    private static void Sink(Span<ulong> heap, ulong key)
    {
        var at = 0;
        for (var child = 1; child < heap.Length; child = (2 * at) + 1)
        {
            if (child + 1 < heap.Length && heap[child + 1] > heap[child])
                child++;
            if (heap[child] <= key)
                break;
            heap[at] = heap[child];
            at = child;
        }
        heap[at] = key;
    }

    // Fills `order` with keys that sort by descending logit, then by id, and returns how many.
    private int Candidates(ReadOnlySpan<float> logits, double total)
    {
        // Tokens this unlikely add up to less than what top-p leaves out.
        var least = (1 - options.TopP) * total / logits.Length;
        var count = 0;
        for (var i = 0; i < logits.Length; i++)
        {
            if (weights[i] >= least)
                order[count++] = Key(logits[i], i);
        }
        order.AsSpan(0, count).Sort();
        return count;
    }

    private int Among(int count, double total, double uniform, int fallback)
    {
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
