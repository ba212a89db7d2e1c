using System.Numerics;
using static CudaLora.Kernels.Simd.VectorMath;

namespace CudaLora.Kernels.Simd;

/// <summary>The maximum of a row and the sum of exponentials below it: all that softmax needs.</summary>
internal static unsafe class RowStatistics
{
    // A block stays in the first-level cache between its maximum and its exponentials: one pass over memory.
    private const int Block = 4096;

    /// <summary>max(x) and sum(e^(x - max)). A row of only minus infinity gives sum 0.</summary>
    public static void MaxAndSum(float* x, int n, out float max, out double sum)
    {
        max = float.NegativeInfinity;
        sum = 0;
        for (var start = 0; start < n; start += Block)
        {
            var count = Math.Min(Block, n - start);
            var highest = Max(x + start, count);
            if (highest > max)
            {
                sum *= Math.Exp(max - highest);
                max = highest;
            }
            sum += ExpSum(x + start, count, float.IsNegativeInfinity(max) ? 0f : max);
        }
    }

    /// <summary>y = factor e^x / sum(e^x) with one exponential per element; y may equal x.</summary>
    /// <param name="x">A row.</param>
    /// <param name="y">A row.</param>
    /// <param name="n">Columns.</param>
    /// <param name="factor">1 for the softmax.</param>
    /// <param name="max">max(x).</param>
    /// <param name="sum">sum(e^(x - max)).</param>
    public static void Exponentials(float* x, float* y, int n, float factor, out float max, out double sum)
    {
        // Each block is written relative to the maximum so far, and corrected once the whole row is known.
        var blocks = Split.Items(n, Block);
        var references = blocks <= 64 ? stackalloc float[blocks] : new float[blocks];
        max = float.NegativeInfinity;
        sum = 0;
        for (var b = 0; b < blocks; b++)
        {
            var start = b * Block;
            var count = Math.Min(Block, n - start);
            var highest = Max(x + start, count);
            if (highest > max)
            {
                sum *= Math.Exp(max - highest);
                max = highest;
            }
            references[b] = float.IsNegativeInfinity(max) ? 0f : max;
            sum += ExpTo(x + start, y + start, count, references[b]);
        }
        for (var b = 0; b < blocks; b++)
        {
            var start = b * Block;
            var scale = (float)(factor / sum * Math.Exp(references[b] - max));
            Vectors.Scale(y + start, scale, y + start, Math.Min(Block, n - start), false);
        }
    }

    /// <summary>log(sum(e^x)).</summary>
    public static float LogSumExp(float* x, int n)
    {
        MaxAndSum(x, n, out var max, out var sum);
        return float.IsNegativeInfinity(max) && sum == 0 ? max : (float)(max + Math.Log(sum));
    }

    private static float Max(float* x, int n)
    {
        if (n < Vectors.Width)
        {
            var small = float.NegativeInfinity;
            for (var i = 0; i < n; i++)
                small = x[i] > small ? x[i] : small;
            return small;
        }
        var best = Vector.Load(x);
        for (var c = Vectors.Width; c <= n - Vectors.Width; c += Vectors.Width)
            best = Vector.MaxNative(Vector.Load(x + c), best);
        // The last register overlaps the one before.
        return Vectors.Max(Vector.MaxNative(Vector.Load(x + n - Vectors.Width), best));
    }

    private static float ExpTo(float* x, float* y, int n, float max)
    {
        Vector<float> s = default;
        var top = Of(max);
        var c = 0;
        for (; c <= n - Vectors.Width; c += Vectors.Width)
        {
            var e = Exp(Vector.Load(x + c) - top);
            e.Store(y + c);
            s += e;
        }
        var sum = Vector.Sum(s);
        if (c == n)
            return sum;
        var last = Exp(Vectors.Load(x + c, n - c) - top);
        Vectors.Store(last, y + c, n - c);
        for (var i = 0; i < n - c; i++)
            sum += last[i];
        return sum;
    }

    private static float ExpSum(float* x, int n, float max)
    {
        Vector<float> s0 = default, s1 = default;
        var top = Of(max);
        var c = 0;
        for (; c <= n - 2 * Vectors.Width; c += 2 * Vectors.Width)
        {
            s0 += Exp(Vector.Load(x + c) - top);
            s1 += Exp(Vector.Load(x + c + Vectors.Width) - top);
        }
        if (c <= n - Vectors.Width)
        {
            s0 += Exp(Vector.Load(x + c) - top);
            c += Vectors.Width;
        }
        var sum = Vector.Sum(s0 + s1);
        if (c == n)
            return sum;
        var last = Exp(Vectors.Load(x + c, n - c) - top);
        for (var i = 0; i < n - c; i++)
            sum += last[i];
        return sum;
    }
}
