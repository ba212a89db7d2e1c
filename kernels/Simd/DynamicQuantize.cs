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
    /// The entry nearest to <paramref name="x"/>: a search over seven steps ends between two neighbours, and x must be
    /// strictly beyond the middle for the other one to be taken. Nothing branches on x: where values fall at random
    /// every other guess of a processor would be wrong.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Code(float x, float* map)
    {
        int at = 127;
        at += Side(x, map[at]) * 64;
        at += Side(x, map[at]) * 32;
        at += Side(x, map[at]) * 16;
        at += Side(x, map[at]) * 8;
        at += Side(x, map[at]) * 4;
        at += Side(x, map[at]) * 2;
        at += Side(x, map[at]);
        float value = map[at];
        int side = Side(x, value);
        // The entries on both sides were compared before. Below the first there is none.
        int other = at + side;
        other &= ~(other >> 31);
        float middle = (map[other] + value) * 0.5f;
        // On one side strictly above, on the other strictly below.
        int beyond = side > 0 ? Above(x, middle) : Above(middle, x);
        return at + (beyond * (other - at));
    }

    // 1 above, -1 at or below; of what is not a number -1.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Side(float x, float entry) => (2 * Above(x, entry)) - 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Above(float x, float entry) => x > entry ? 1 : 0;
}
