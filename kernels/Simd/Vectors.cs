using System.Numerics;
using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>Loads, stores and folds of one vector register of floats, whole or partly filled.</summary>
internal static unsafe class Vectors
{
    // Up to here a loop beats the call of a memory move.
    private const int ShortRow = 256;

    /// <summary>Floats in one register; a JIT-time constant.</summary>
    public static int Width
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector<float>.Count;
    }

    /// <summary>Loads <paramref name="count"/> floats; the lanes above are zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Load(float* p, int count) => count == Width ? Vector.Load(p) : LoadPart(p, count);

    /// <summary>Stores the lowest <paramref name="count"/> lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector<float> v, float* p, int count)
    {
        if (count == Width)
            v.Store(p);
        else
            StorePart(v, p, count);
    }

    /// <summary>Stores, or adds to what is there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Put(Vector<float> v, float* p, int count, bool accumulate) =>
        Store(accumulate ? Load(p, count) + v : v, p, count);

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
            Put(Vector.Load(from + i), to + i, Width, accumulate);
        if (i < n)
            Put(LoadPart(from + i, n - i), to + i, n - i, accumulate);
    }

    /// <summary>to (+)= value, one row.</summary>
    public static void Fill(float value, float* to, int n, bool accumulate)
    {
        var v = new Vector<float>(value);
        var i = 0;
        for (; i <= n - Width; i += Width)
            Put(v, to + i, Width, accumulate);
        if (i < n)
            Put(v, to + i, n - i, accumulate);
    }

    /// <summary>to (+)= scale * from, one row.</summary>
    public static void Scale(float* from, float scale, float* to, int n, bool accumulate)
    {
        var factor = new Vector<float>(scale);
        var i = 0;
        for (; i <= n - Width; i += Width)
            Put(Vector.Load(from + i) * factor, to + i, Width, accumulate);
        if (i < n)
            Put(LoadPart(from + i, n - i) * factor, to + i, n - i, accumulate);
    }

    /// <summary>Largest lane; NaN lanes are passed over.</summary>
    public static float Max(Vector<float> v)
    {
        var best = v[0];
        for (var i = 1; i < Width; i++)
            best = v[i] > best ? v[i] : best;
        return best;
    }

    /// <summary>Sum of a row, in blocks of four registers folded into a double.</summary>
    public static double Sum(float* x, long n)
    {
        var total = 0.0;
        for (long start = 0; start < n; start += SumBlock)
            total += BlockSum(x + start, (int)Math.Min(SumBlock, n - start));
        return total;
    }

    /// <summary>Dot product of two rows, in blocks folded into a double.</summary>
    public static double Dot(float* a, float* b, long n)
    {
        var total = 0.0;
        for (long start = 0; start < n; start += SumBlock)
            total += BlockDot(a + start, b + start, (int)Math.Min(SumBlock, n - start));
        return total;
    }

    private const int SumBlock = 4096;

    private static float BlockDot(float* a, float* b, int n)
    {
        Vector<float> s0 = default, s1 = default, s2 = default, s3 = default;
        var i = 0;
        for (; i <= n - 4 * Width; i += 4 * Width)
        {
            s0 = VectorMath.Fma(Vector.Load(a + i), Vector.Load(b + i), s0);
            s1 = VectorMath.Fma(Vector.Load(a + i + Width), Vector.Load(b + i + Width), s1);
            s2 = VectorMath.Fma(Vector.Load(a + i + 2 * Width), Vector.Load(b + i + 2 * Width), s2);
            s3 = VectorMath.Fma(Vector.Load(a + i + 3 * Width), Vector.Load(b + i + 3 * Width), s3);
        }
        for (; i <= n - Width; i += Width)
            s0 = VectorMath.Fma(Vector.Load(a + i), Vector.Load(b + i), s0);
        if (i < n)
            s1 = VectorMath.Fma(LoadPart(a + i, n - i), LoadPart(b + i, n - i), s1);
        return Vector.Sum((s0 + s1) + (s2 + s3));
    }

    private static float BlockSum(float* x, int n)
    {
        Vector<float> s0 = default, s1 = default, s2 = default, s3 = default;
        var i = 0;
        for (; i <= n - 4 * Width; i += 4 * Width)
        {
            s0 += Vector.Load(x + i);
            s1 += Vector.Load(x + i + Width);
            s2 += Vector.Load(x + i + 2 * Width);
            s3 += Vector.Load(x + i + 3 * Width);
        }
        for (; i <= n - Width; i += Width)
            s0 += Vector.Load(x + i);
        if (i < n)
            s1 += LoadPart(x + i, n - i);
        return Vector.Sum((s0 + s1) + (s2 + s3));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Vector<float> LoadPart(float* p, int count)
    {
        var v = Vector<float>.Zero;
        var lanes = (float*)&v;
        for (var i = 0; i < count; i++)
            lanes[i] = p[i];
        return v;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void StorePart(Vector<float> v, float* p, int count)
    {
        var lanes = (float*)&v;
        for (var i = 0; i < count; i++)
            p[i] = lanes[i];
    }
}
