using System.Numerics;
using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// Elementary functions on a vector of floats. Largest errors against double, over the whole range, in units in the
/// last place: exp 1, log 1, sigmoid 2, tanh 2, sine and cosine of turns 1.5. Polynomials are Chebyshev fits.
/// </summary>
public static class VectorMath
{
    private const float Log2E = 1.44269504f;
    private const float Ln2High = 0.693359375f;
    private const float Ln2Low = -2.12194440e-4f;

    /// <summary>e^x. Overflows to infinity above 88.73; results below 2^-126 are subnormal, then zero.</summary>
    public static Vector<float> Exp(Vector<float> x) => Exp(new FloatsAny(x)).Value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static T Exp<T>(T x)
        where T : struct, IFloats<T>
    {
        // x is the second operand of both, so that NaN stays.
        x = T.Min(T.Of(89f), T.Max(T.Of(-104f), x));
        var shifted = T.Fma(x, T.Of(Log2E), T.Of(FloatsAny.RoundMagic));
        var n = shifted - T.Of(FloatsAny.RoundMagic);
        var r = T.Fma(n, T.Of(-Ln2Low), T.Fma(n, T.Of(-Ln2High), x));
        var p = T.Fma(r, T.Of(0.001392617612f), T.Of(0.0083631730745f));
        p = T.Fma(p, r, T.Of(0.041666554662f));
        p = T.Fma(p, r, T.Of(0.16666577026f));
        p = T.Fma(p, r, T.Of(0.5f));
        p = T.Fma(p, r * r, r) + T.Of(1f);
        return T.TimesPowerOfTwo(p, shifted);
    }

    /// <summary>Natural logarithm; zero gives minus infinity, a negative argument NaN.</summary>
    public static Vector<float> Log(Vector<float> x)
    {
        var tiny = Vector.LessThan(x, Of(1.17549435e-38f));
        var scaled = Vector.ConditionalSelect(tiny, x * Of(8388608f), x);
        var bits = Vector.AsVectorInt32(scaled);
        // Centre the mantissa on 1: m in [sqrt(1/2), sqrt(2)).
        var offset = bits - new Vector<int>(0x3F3504F3);
        var e = Vector.ConvertToSingle((offset >> 23) - (tiny & new Vector<int>(23)));
        var m = Vector.AsVectorSingle((offset & new Vector<int>(0x007FFFFF)) + new Vector<int>(0x3F3504F3));
        var f = m - Vector<float>.One;
        var p = Fma(f, Of(0.069716114715f), Of(-0.11479733847f));
        p = Fma(p, f, Of(0.11685419923f));
        p = Fma(p, f, Of(-0.12425687331f));
        p = Fma(p, f, Of(0.14249057646f));
        p = Fma(p, f, Of(-0.1666780232f));
        p = Fma(p, f, Of(0.20000715749f));
        p = Fma(p, f, Of(-0.24999996958f));
        p = Fma(p, f, Of(0.3333333118f));
        var f2 = f * f;
        var y = Fma(p, f2 * f, e * Of(Ln2Low));
        y = Fma(Of(-0.5f), f2, y) + f;
        y = Fma(e, Of(Ln2High), y);
        y = Vector.ConditionalSelect(Vector.Equals(x, Of(float.PositiveInfinity)), x, y);
        y = Vector.ConditionalSelect(Vector.Equals(x, Vector<float>.Zero), Of(float.NegativeInfinity), y);
        return Vector.ConditionalSelect(Vector.GreaterThanOrEqual(x, Vector<float>.Zero), y, Of(float.NaN));
    }

    /// <summary>1 / (1 + e^-x).</summary>
    public static Vector<float> Sigmoid(Vector<float> x) => Sigmoid(new FloatsAny(x)).Value;

    /// <summary>Hyperbolic tangent.</summary>
    public static Vector<float> Tanh(Vector<float> x) => Tanh(new FloatsAny(x)).Value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static T Sigmoid<T>(T x)
        where T : struct, IFloats<T> => T.Of(1f) / (T.Of(1f) + Exp(-x));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static T Tanh<T>(T x)
        where T : struct, IFloats<T>
    {
        var z = x * x;
        var p = T.Fma(z, T.Of(0.0022149027425f), T.Of(-0.0082724567326f));
        p = T.Fma(p, z, T.Of(0.021746187089f));
        p = T.Fma(p, z, T.Of(-0.053956349397f));
        p = T.Fma(p, z, T.Of(0.13333290746f));
        p = T.Fma(p, z, T.Of(-0.33333333084f));
        var near = T.Fma(p * z, x, x);
        var a = T.Abs(x);
        var far = T.Of(1f) - T.Of(2f) / (Exp(a + a) + T.Of(1f));
        return T.Below(a, T.Of(0.625f), near, T.CopySign(far, x));
    }

    /// <summary>sin and cos of 2 pi u, for u in [0, 1].</summary>
    public static void SinCosTurns(Vector<float> u, out Vector<float> sin, out Vector<float> cos)
    {
        var quarter = u * Of(4f);
        var shifted = quarter + Of(FloatsAny.RoundMagic);
        var turn = Vector.AsVectorInt32(shifted);
        var a = (quarter - (shifted - Of(FloatsAny.RoundMagic))) * Of(1.57079633f);
        var z = a * a;
        var s = Fma(z, Of(2.7249925803e-6f), Of(-0.00019840086735f));
        s = Fma(s, z, Of(0.0083333318747f));
        s = Fma(s, z, Of(-0.16666666664f));
        s = Fma(s * z, a, a);
        var c = Fma(z, Of(2.4547942085e-5f), Of(-0.0013888303036f));
        c = Fma(c, z, Of(0.04166666466f));
        c = Fma(c, z * z, Fma(z, Of(-0.5f), Vector<float>.One));
        var odd = Vector.Equals(turn & Vector<int>.One, Vector<int>.One);
        var sinSign = (turn & new Vector<int>(2)) << 30;
        var cosSign = ((turn + Vector<int>.One) & new Vector<int>(2)) << 30;
        sin = Flip(Vector.ConditionalSelect(odd, c, s), sinSign);
        cos = Flip(Vector.ConditionalSelect(odd, s, c), cosSign);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector<float> Fma(Vector<float> a, Vector<float> b, Vector<float> c) =>
        Vector.MultiplyAddEstimate(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector<float> Of(float value) => new(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> Flip(Vector<float> x, Vector<int> signBit) =>
        Vector.AsVectorSingle(Vector.AsVectorInt32(x) ^ signBit);
}
