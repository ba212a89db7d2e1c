using System.Numerics;
using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>One row of floats: copied, filled, scaled, summed.</summary>
internal static unsafe class Vectors
{
    // Up to here a loop beats the call of a memory move.
    private const int ShortRow = 256;

    /// <summary>Floats in one of the runtime's own registers; a JIT-time constant.</summary>
    public static int Width
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector<float>.Count;
    }

    /// <summary>Stores, or adds to what is there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Put<T>(T v, float* p, int count, bool accumulate)
        where T : struct, IFloats<T> => (accumulate ? T.Load(p, count) + v : v).Store(p, count);

    /// <summary>to (+)= from, one row.</summary>
    public static void Copy(float* from, float* to, int n, bool accumulate)
    {
        if (!accumulate && n > ShortRow)
        {
            new Span<float>(from, n).CopyTo(new Span<float>(to, n));
            return;
        }
        var i = 0;
        for (; i <= n - Width; i += Width)
            Put(FloatsAny.Load(from + i), to + i, Width, accumulate);
        if (i < n)
            Put(FloatsAny.Load(from + i, n - i), to + i, n - i, accumulate);
    }

    /// <summary>to (+)= value, one row.</summary>
    public static void Fill(float value, float* to, int n, bool accumulate)
    {
        var v = FloatsAny.Of(value);
        var i = 0;
        for (; i <= n - Width; i += Width)
            Put(v, to + i, Width, accumulate);
        if (i < n)
            Put(v, to + i, n - i, accumulate);
    }

    /// <summary>to (+)= scale * from, one row.</summary>
    public static void Scale<T>(float* from, float scale, float* to, int n, bool accumulate)
        where T : struct, IFloats<T>
    {
        var factor = T.Of(scale);
        var i = 0;
        for (; i <= n - T.Width; i += T.Width)
            Put(T.Load(from + i) * factor, to + i, T.Width, accumulate);
        if (i < n)
            Put(T.Load(from + i, n - i) * factor, to + i, n - i, accumulate);
    }

    /// <summary>Sum of a row, in blocks of four registers folded into a double.</summary>
    public static double Sum<T>(float* x, long n)
        where T : struct, IFloats<T>
    {
        var total = 0.0;
        for (long start = 0; start < n; start += SumBlock)
            total += BlockSum<T>(x + start, (int)Math.Min(SumBlock, n - start));
        return total;
    }

    /// <summary>Dot product of two rows, in blocks folded into a double.</summary>
    public static double Dot<T>(float* a, float* b, long n)
        where T : struct, IFloats<T>
    {
        var total = 0.0;
        for (long start = 0; start < n; start += SumBlock)
            total += BlockDot<T>(a + start, b + start, (int)Math.Min(SumBlock, n - start));
        return total;
    }

    private const int SumBlock = 4096;

    private static float BlockDot<T>(float* a, float* b, int n)
        where T : struct, IFloats<T>
    {
        T s0 = default, s1 = default, s2 = default, s3 = default;
        var i = 0;
        for (; i <= n - 4 * T.Width; i += 4 * T.Width)
        {
            s0 = T.Fma(T.Load(a + i), T.Load(b + i), s0);
            s1 = T.Fma(T.Load(a + i + T.Width), T.Load(b + i + T.Width), s1);
            s2 = T.Fma(T.Load(a + i + 2 * T.Width), T.Load(b + i + 2 * T.Width), s2);
            s3 = T.Fma(T.Load(a + i + 3 * T.Width), T.Load(b + i + 3 * T.Width), s3);
        }
        for (; i <= n - T.Width; i += T.Width)
            s0 = T.Fma(T.Load(a + i), T.Load(b + i), s0);
        if (i < n)
            s1 = T.Fma(T.Load(a + i, n - i), T.Load(b + i, n - i), s1);
        return T.Sum((s0 + s1) + (s2 + s3));
    }

    private static float BlockSum<T>(float* x, int n)
        where T : struct, IFloats<T>
    {
        T s0 = default, s1 = default, s2 = default, s3 = default;
        var i = 0;
        for (; i <= n - 4 * T.Width; i += 4 * T.Width)
        {
            s0 += T.Load(x + i);
            s1 += T.Load(x + i + T.Width);
            s2 += T.Load(x + i + 2 * T.Width);
            s3 += T.Load(x + i + 3 * T.Width);
        }
        for (; i <= n - T.Width; i += T.Width)
            s0 += T.Load(x + i);
        if (i < n)
            s1 += T.Load(x + i, n - i);
        return T.Sum((s0 + s1) + (s2 + s3));
    }
}
