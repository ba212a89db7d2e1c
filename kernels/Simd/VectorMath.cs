using System.Numerics;
using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// Elementary functions on a vector of floats. Largest errors against double, over the whole range, in units in the
/// last place: exp 1, log 1, sigmoid 2, tanh 2, erf 2, sine and cosine of turns 1.5. Polynomials are Chebyshev fits.
/// </summary>
public static class VectorMath
{
    private const float Log2E = 1.44269504f;
    private const float Ln2High = 0.693359375f;
    private const float Ln2Low = -2.12194440e-4f;

    // Adding 1.5 * 2^23 rounds to the nearest integer, which then sits in the low mantissa bits.
    private const float RoundMagic = 12582912f;
    private const int RoundBits = 0x4B400000;

    /// <summary>e^x. Overflows to infinity above 88.73; results below 2^-126 are subnormal, then zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Exp(Vector<float> x)
    {
        // Native min and max hand back the second operand when one is NaN.
        x = Vector.MinNative(Of(89f), Vector.MaxNative(Of(-104f), x));
        var shifted = Fma(x, Of(Log2E), Of(RoundMagic));
        var power = Vector.AsVectorInt32(shifted) - new Vector<int>(RoundBits);
        var n = shifted - Of(RoundMagic);
        var r = Fma(n, Of(-Ln2Low), Fma(n, Of(-Ln2High), x));
        var p = Fma(r, Of(0.001392617612f), Of(0.0083631730745f));
        p = Fma(p, r, Of(0.041666554662f));
        p = Fma(p, r, Of(0.16666577026f));
        p = Fma(p, r, Of(0.5f));
        p = Fma(p, r * r, r) + Vector<float>.One;
        // Two factors reach the subnormals and infinity without leaving the exponent field.
        var half = power >> 1;
        return p * PowerOfTwo(half) * PowerOfTwo(power - half);
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
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Sigmoid(Vector<float> x) =>
        Vector<float>.One / (Vector<float>.One + Exp(-x));

    /// <summary>Hyperbolic tangent.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Tanh(Vector<float> x)
    {
        var z = x * x;
        var p = Fma(z, Of(0.0022149027425f), Of(-0.0082724567326f));
        p = Fma(p, z, Of(0.021746187089f));
        p = Fma(p, z, Of(-0.053956349397f));
        p = Fma(p, z, Of(0.13333290746f));
        p = Fma(p, z, Of(-0.33333333084f));
        var near = Fma(p * z, x, x);
        var a = Vector.Abs(x);
        var far = Vector<float>.One - Of(2f) / (Exp(a + a) + Vector<float>.One);
        return Vector.ConditionalSelect(Vector.LessThan(a, Of(0.625f)), near, CopySign(far, x));
    }

    /// <summary>Error function.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Erf(Vector<float> x)
    {
        var z = x * x;
        var p = Fma(z, Of(7.8758750627e-5f), Of(-0.00080168642872f));
        p = Fma(p, z, Of(0.0051890874234f));
        p = Fma(p, z, Of(-0.026854212011f));
        p = Fma(p, z, Of(0.11283594715f));
        p = Fma(p, z, Of(-0.37612626667f));
        // The last coefficient is 1 + 0.128...: splitting it keeps half a unit that one rounded constant would lose.
        var near = Fma(Fma(p, z, Of(0.1283791658f)), x, x);
        var a = Vector.Abs(x);
        // Above 4 the result rounds to one. log(erfc(a)) is smooth, so erf = 1 - e^q(a).
        var t = Vector.MinNative(Of(4f), a);
        var q = Fma(t, Of(-7.5826819697e-8f), Of(3.3216845907e-6f));
        q = Fma(q, t, Of(-6.2298353252e-5f));
        q = Fma(q, t, Of(0.00068583668301f));
        q = Fma(q, t, Of(-0.0050649469202f));
        q = Fma(q, t, Of(0.027099523294f));
        q = Fma(q, t, Of(-0.11105501737f));
        q = Fma(q, t, Of(-0.63095302982f));
        q = Fma(q, t, Of(-1.1306751442f));
        q = Fma(q, t, Of(0.00041632921771f));
        var far = Vector<float>.One - Exp(q);
        return Vector.ConditionalSelect(Vector.LessThan(a, Vector<float>.One), near, CopySign(far, x));
    }

    /// <summary>sin and cos of 2 pi u, for u in [0, 1].</summary>
    public static void SinCosTurns(Vector<float> u, out Vector<float> sin, out Vector<float> cos)
    {
        var quarter = u * Of(4f);
        var shifted = quarter + Of(RoundMagic);
        var turn = Vector.AsVectorInt32(shifted);
        var a = (quarter - (shifted - Of(RoundMagic))) * Of(1.57079633f);
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
    private static Vector<float> PowerOfTwo(Vector<int> n) => Vector.AsVectorSingle((n + new Vector<int>(127)) << 23);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> CopySign(Vector<float> magnitude, Vector<float> sign) =>
        Flip(magnitude, Vector.AsVectorInt32(sign) & new Vector<int>(int.MinValue));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> Flip(Vector<float> x, Vector<int> signBit) =>
        Vector.AsVectorSingle(Vector.AsVectorInt32(x) ^ signBit);
}
