using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Shuffled orders that are the same on every machine and in every version: Fisher-Yates from the top, with SplitMix64
/// (Steele, Lea and Flood 2014) as the source and the high half of a 64 x 64 bit product as the bounded draw.
/// </summary>
public static class Permutation
{
    /// <summary>The numbers 0 to count - 1 in the order that belongs to a seed and a stream (the epoch, say).</summary>
    public static int[] Of(int count, int seed, int stream)
    {
        var order = new int[count];
        for (int i = 0; i < count; i++) order[i] = i;
        Shuffle(order, seed, stream);
        return order;
    }

    /// <summary>Shuffles in place, in the order that belongs to a seed and a stream.</summary>
    public static void Shuffle<T>(Span<T> items, int seed, int stream)
    {
        ulong state = Mix(((ulong)(uint)seed << 32) | (uint)stream);
        for (int i = items.Length - 1; i > 0; i--)
        {
            int j = (int)Math.BigMul(Next(ref state), (ulong)i + 1, out _);
            (items[i], items[j]) = (items[j], items[i]);
        }
    }

    /// <summary>Splits a set: <paramref name="fraction"/> of it, at least one and not all, is held out.</summary>
    /// <returns>Indices in ascending order: those to train on, those held out.</returns>
    /// <exception cref="UserErrorException">The fraction is not below 1, or there are fewer than two
    /// records.</exception>
    public static (int[] Train, int[] HeldOut) Split(int count, double fraction, int seed)
    {
        if (fraction is not (>= 0 and < 1))
            throw new UserErrorException($"[val-size] must be 0 or more and below 1, but got {fraction}");
        if (fraction == 0) return (Enumerable.Range(0, count).ToArray(), []);
        if (count < 2)
            throw new UserErrorException($"[val-size] holding one out needs 2 records or more, but got {count}");
        int held = Math.Clamp((int)Math.Round(count * fraction, MidpointRounding.AwayFromZero), 1, count - 1);
        var order = Of(count, seed, stream: -1);
        return (order[held..].Order().ToArray(), order[..held].Order().ToArray());
    }

    private static ulong Next(ref ulong state)
    {
        state += 0x9E3779B97F4A7C15;
        return Mix(state);
    }

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
