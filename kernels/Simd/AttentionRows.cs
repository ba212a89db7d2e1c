using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// The row work of attention. Row lengths are multiples of the vector width, except in Dot and Combine.
/// </summary>
internal static unsafe class AttentionRows<TLanes, TVec>
    where TLanes : struct, ILanes<TVec>
    where TVec : struct
{
    // Below this e^x is taken for 0: smaller powers would leave the exponent field.
    private const float Lowest = -86f;

    private const float Magic = FloatsAny.RoundMagic + 127;

    /// <summary>The largest of the row; minus infinity only where nothing in it is to be seen, so NaN is not.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Highest(float* row, int count)
    {
        TVec vector = TLanes.Splat(float.NegativeInfinity);
        for (int i = 0; i < count; i += TLanes.Width)
            vector = TLanes.Max(vector, TLanes.Load(row + i));
        float highest = TLanes.Highest(vector);
        // The hardware's maximum may drop NaN; beside a finite one the exponentials keep it.
        return float.IsNegativeInfinity(highest) && HasNaN(row, count) ? float.NaN : highest;
    }

    private static bool HasNaN(float* row, int count)
    {
        bool found = false;
        for (int i = 0; i < count; i++)
            found |= float.IsNaN(row[i]);
        return found;
    }

    /// <summary>row = e^(row - max), of arguments up to 0; returns the sum.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float ExpSum(float* row, int count, float max)
    {
        TVec shift = TLanes.Splat(-max);
        TVec sum = default;
        for (int i = 0; i < count; i += TLanes.Width)
        {
            TVec e = Exp(TLanes.Add(TLanes.Load(row + i), shift));
            TLanes.Store(row + i, e);
            sum = TLanes.Add(sum, e);
        }
        return TLanes.Sum(sum);
    }

    /// <summary>row = e^(row - lse), element by element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ExpEach(float* row, float* minusLse, int count)
    {
        for (int i = 0; i < count; i += TLanes.Width)
            TLanes.Store(row + i, Exp(TLanes.Add(TLanes.Load(row + i), TLanes.Load(minusLse + i))));
    }

    /// <summary>dp = p * (dp - delta) * scale.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ScoreGradient(float* dp, float* p, float* minusDelta, float scale, int count)
    {
        TVec factor = TLanes.Splat(scale);
        for (int i = 0; i < count; i += TLanes.Width)
        {
            TVec inner = TLanes.Add(TLanes.Load(dp + i), TLanes.Load(minusDelta + i));
            TLanes.Store(dp + i, TLanes.Multiply(TLanes.Multiply(TLanes.Load(p + i), factor), inner));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Dot(float* x, float* y, int count)
    {
        TVec sum = default;
        int i = 0;
        for (; i <= count - TLanes.Width; i += TLanes.Width)
            sum = TLanes.MultiplyAdd(TLanes.Load(x + i), TLanes.Load(y + i), sum);
        float total = TLanes.Sum(sum);
        for (; i < count; i++)
            total += x[i] * y[i];
        return total;
    }

    /// <summary>target = scale * source + keep * target; keep = 0 does not read.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Combine(float* target, float keep, float* source, float scale, int count)
    {
        TVec factor = TLanes.Splat(scale);
        TVec kept = TLanes.Splat(keep);
        int i = 0;
        for (; i <= count - TLanes.Width; i += TLanes.Width)
        {
            TVec value = TLanes.Multiply(TLanes.Load(source + i), factor);
            if (keep != 0)
                value = TLanes.MultiplyAdd(TLanes.Load(target + i), kept, value);
            TLanes.Store(target + i, value);
        }
        for (; i < count; i++)
            target[i] = (source[i] * scale) + (keep != 0 ? target[i] * keep : 0);
    }

    // x = n ln 2 + r with |r| <= ln 2 / 2; a Chebyshev fit for r (error 1e-8), the exponent field for n.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVec Exp(TVec x)
    {
        // 1.5 * 2^23 rounds to an integer; 127 makes it an exponent field.
        TVec shifted = TLanes.MultiplyAdd(x, TLanes.Splat(1.44269504f), TLanes.Splat(Magic));
        TVec n = TLanes.Add(shifted, TLanes.Splat(-Magic));
        TVec r = TLanes.MultiplyAdd(n, TLanes.Splat(-0.693145751953125f), x);
        r = TLanes.MultiplyAdd(n, TLanes.Splat(-1.4286068202862268e-06f), r);
        TVec p = TLanes.MultiplyAdd(r, TLanes.Splat(0.0013926213f), TLanes.Splat(0.0083632031f));
        p = TLanes.MultiplyAdd(p, r, TLanes.Splat(0.041666556f));
        p = TLanes.MultiplyAdd(p, r, TLanes.Splat(0.16666576f));
        p = TLanes.MultiplyAdd(p, r, TLanes.Splat(0.5f));
        p = TLanes.Add(TLanes.MultiplyAdd(p, TLanes.Multiply(r, r), r), TLanes.Splat(1f));
        return TLanes.ZeroBelow(x, Lowest, TLanes.TimesPowerOfTwo(p, shifted));
    }
}
