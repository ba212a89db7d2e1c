using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>Block-wise 8-bit codes over a table of 256 ascending values: bitsandbytes' dynamic maps.</summary>
public static unsafe class DynamicQuantize
{
    // As for NF4: what is smaller is coded as zero.
    private const float Smallest = 1e-38f;

    /// <summary>
    /// Codes and scales of <paramref name="n"/> values in blocks: scale = max |x - offset|, code = nearest table entry
    /// to (x - offset) * (1 / scale).
    /// </summary>
    /// <param name="x">Values.</param>
    /// <param name="n">Number of values.</param>
    /// <param name="offset">Taken off every value first.</param>
    /// <param name="blockSize">Values per block.</param>
    /// <param name="map">256 ascending values.</param>
    /// <param name="codes">One byte per value.</param>
    /// <param name="absMax">One scale per block.</param>
    public static void Run(
        float* x, long n, float offset, int blockSize, ReadOnlySpan<float> map, byte* codes, float* absMax)
    {
        fixed (float* table = map)
        {
            for (long first = 0; first < n; first += blockSize)
            {
                long end = Math.Min(n, first + blockSize);
                float largest = 0;
                for (long i = first; i < end; i++)
                    largest = Math.Max(largest, MathF.Abs(x[i] - offset));
                absMax[first / blockSize] = largest;
                float inverse = 1 / Math.Max(largest, Smallest);
                for (long i = first; i < end; i++)
                    codes[i] = (byte)Code((x[i] - offset) * inverse, table);
            }
        }
    }

    /// <summary>
    /// The entry nearest to <paramref name="x"/>: a search over seven steps ends at one of two neighbours, and x must
    /// be
    /// strictly beyond their middle for the other one to be taken.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Code(float x, float* map)
    {
        int at = 127, above = 255, below = 0;
        for (int step = 64; step > 0; step >>= 1)
        {
            if (x > map[at])
            {
                below = at;
                at += step;
            }
            else
            {
                above = at;
                at -= step;
            }
        }
        float value = map[at];
        if (x > value)
            return x > (map[above] + value) * 0.5f ? above : at;
        return x < (map[below] + value) * 0.5f ? below : at;
    }
}
