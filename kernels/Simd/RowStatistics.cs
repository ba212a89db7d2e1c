using static CudaLora.Kernels.Simd.VectorMath;

namespace CudaLora.Kernels.Simd;

/// <summary>The maximum of a row and the sum of exponentials below it: all that softmax needs.</summary>
internal static unsafe class RowStatistics
{
    // A block stays in the first-level cache between its maximum and its exponentials: one pass over memory.
    private const int Block = 4096;

    /// <summary>max(x) and sum(e^(x - max)). A row of only minus infinity gives sum 0.</summary>
    public static void MaxAndSum<T>(float* x, int n, out float max, out double sum)
        where T : struct, IFloats<T>
    {
        max = float.NegativeInfinity;
        sum = 0;
        for (var start = 0; start < n; start += Block)
        {
            var count = Math.Min(Block, n - start);
            var highest = Max<T>(x + start, count);
            if (highest > max)
            {
                sum *= Math.Exp(max - highest);
                max = highest;
            }
            sum += ExpSum<T>(x + start, count, float.IsNegativeInfinity(max) ? 0f : max);
        }
    }

    /// <summary>y = factor e^x / sum(e^x) with one exponential per element; y may equal x.</summary>
    /// <param name="x">A row.</param>
    /// <param name="y">A row.</param>
    /// <param name="n">Columns.</param>
    /// <param name="factor">1 for the softmax.</param>
    /// <param name="max">max(x).</param>
    /// <param name="sum">sum(e^(x - max)).</param>
    public static void Exponentials<T>(float* x, float* y, int n, float factor, out float max, out double sum)
        where T : struct, IFloats<T>
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
            var highest = Max<T>(x + start, count);
            if (highest > max)
            {
                sum *= Math.Exp(max - highest);
                max = highest;
            }
            // So long as all was minus infinity, e^(reference - max) is 0 or, if all of the row was, NaN.
            references[b] = max;
            sum += ExpTo<T>(x + start, y + start, count, float.IsNegativeInfinity(max) ? 0f : max);
        }
        for (var b = 0; b < blocks; b++)
        {
            var start = b * Block;
            var scale = (float)(factor / sum * Math.Exp(references[b] - max));
            Vectors.Scale<T>(y + start, scale, y + start, Math.Min(Block, n - start), false);
        }
    }

    /// <summary>log(sum(e^x)).</summary>
    public static float LogSumExp<T>(float* x, int n)
        where T : struct, IFloats<T>
    {
        MaxAndSum<T>(x, n, out var max, out var sum);
        return float.IsNegativeInfinity(max) && sum == 0 ? max : (float)(max + Math.Log(sum));
    }

    private static float Max<T>(float* x, int n)
        where T : struct, IFloats<T>
    {
        if (n < T.Width)
        {
            var small = float.NegativeInfinity;
            for (var i = 0; i < n; i++)
                small = x[i] > small ? x[i] : small;
            return small;
        }
        T even = T.Load(x), odd = even;
        var c = T.Width;
        for (; c <= n - 2 * T.Width; c += 2 * T.Width)
        {
            even = T.Max(T.Load(x + c), even);
            odd = T.Max(T.Load(x + c + T.Width), odd);
        }
        if (c <= n - T.Width)
            even = T.Max(T.Load(x + c), even);
        // The last register overlaps the one before.
        return T.Highest(T.Max(T.Load(x + n - T.Width), T.Max(even, odd)));
    }

    private static float ExpTo<T>(float* x, float* y, int n, float max)
        where T : struct, IFloats<T>
    {
        T s = default;
        var top = T.Of(max);
        var c = 0;
        for (; c <= n - T.Width; c += T.Width)
        {
            var e = Exp(T.Load(x + c) - top);
            e.Store(y + c);
            s += e;
        }
        var sum = T.Sum(s);
        if (c == n)
            return sum;
        Exp(T.Load(x + c, n - c) - top).Store(y + c, n - c);
        return sum + T.Sum(T.Load(y + c, n - c));
    }

    private static float ExpSum<T>(float* x, int n, float max)
        where T : struct, IFloats<T>
    {
        T s0 = default, s1 = default;
        var top = T.Of(max);
        var c = 0;
        for (; c <= n - 2 * T.Width; c += 2 * T.Width)
        {
            s0 += Exp(T.Load(x + c) - top);
            s1 += Exp(T.Load(x + c + T.Width) - top);
        }
        if (c <= n - T.Width)
        {
            s0 += Exp(T.Load(x + c) - top);
            c += T.Width;
        }
        var sum = T.Sum(s0 + s1);
        if (c == n)
            return sum;
        var last = stackalloc float[T.Width];
        Exp(T.Load(x + c, n - c) - top).Store(last);
        return sum + T.Sum(T.Load(last, n - c));
    }
}
