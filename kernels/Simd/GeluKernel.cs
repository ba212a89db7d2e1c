using System.Runtime.CompilerServices;
using static CudaLora.Kernels.Simd.VectorMath;

namespace CudaLora.Kernels.Simd;

/// <summary>GELU (Hendrycks and Gimpel 2016), exact x Phi(x) and the tanh form of GPT-2.</summary>
public static unsafe class GeluKernel
{
    private const float InverseRoot2Pi = 0.39894228f;
    private const float Root2OverPi = 0.79788456f;
    private const float Cubic = 0.044715f;

    /// <summary>y (+)= x (1 + erf(x / sqrt 2)) / 2.</summary>
    public static void Forward(float* x, float* y, long n, bool accumulate = false) =>
        Map.Run(default(Exact), x, y, n, accumulate);

    /// <summary>dx (+)= dy gelu'(x), exact form.</summary>
    public static void Backward(float* x, float* dy, float* dx, long n, bool accumulate = false) =>
        Map.Run(default(ExactSlope), x, dy, dx, n, accumulate);

    /// <summary>y (+)= x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.</summary>
    public static void TanhForward(float* x, float* y, long n, bool accumulate = false) =>
        Map.Run(default(Approximate), x, y, n, accumulate);

    /// <summary>dx (+)= dy gelu'(x), tanh form.</summary>
    public static void TanhBackward(float* x, float* dy, float* dx, long n, bool accumulate = false) =>
        Map.Run(default(ApproximateSlope), x, dy, dx, n, accumulate);

    private readonly struct Exact : IMap1
    {
        // max(x, 0) - |x| Phi(-|x|): nothing cancels on the negative side.
        public T Apply<T>(T x)
            where T : struct, IFloats<T>
        {
            var a = Distance(x);
            return T.Fma(-a, UpperTail(a), T.Max(T.Of(0f), x));
        }
    }

    private readonly struct ExactSlope : IMap2
    {
        public T Apply<T>(T x, T dy)
            where T : struct, IFloats<T>
        {
            var phi = T.Of(0.5f) + T.CopySign(T.Of(0.5f) - UpperTail(Distance(x)), x);
            var density = Exp(x * x * T.Of(-0.5f)) * T.Of(InverseRoot2Pi);
            return dy * T.Fma(x, density, phi);
        }
    }

    // |x|, but no more than where Phi(-|x|) has long become zero.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Distance<T>(T x)
        where T : struct, IFloats<T> => T.Min(T.Of(13f), T.Abs(x));

    // Phi(-a) = e^q(a), a from 0 to 13: the logarithm is smooth. Fitted on [0, 6.5] so that a Phi(-a) is right to 1e-8;
    // beyond, where it is below 3e-10, q falls at least about as fast as the logarithm.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T UpperTail<T>(T a)
        where T : struct, IFloats<T>
    {
        var q = T.Fma(a, T.Of(-1.410347407e-8f), T.Of(4.507697168e-7f));
        q = T.Fma(q, a, T.Of(-6.118856574e-6f));
        q = T.Fma(q, a, T.Of(4.471716991e-5f));
        q = T.Fma(q, a, T.Of(-0.0001664106531f));
        q = T.Fma(q, a, T.Of(-5.524554163e-5f));
        q = T.Fma(q, a, T.Of(0.004881526353f));
        q = T.Fma(q, a, T.Of(-0.03639413249f));
        q = T.Fma(q, a, T.Of(-0.3182928024f));
        q = T.Fma(q, a, T.Of(-0.797886458f));
        return Exp(T.Fma(q, a, T.Of(-0.6931471472f)));
    }

    private readonly struct Approximate : IMap1
    {
        public T Apply<T>(T x)
            where T : struct, IFloats<T>
        {
            var half = x * T.Of(0.5f);
            return T.Fma(half, Tanh(Inner(x)), half);
        }
    }

    private readonly struct ApproximateSlope : IMap2
    {
        public T Apply<T>(T x, T dy)
            where T : struct, IFloats<T>
        {
            var t = Tanh(Inner(x));
            var innerSlope = T.Fma(x * x, T.Of(3f * Cubic * Root2OverPi), T.Of(Root2OverPi));
            var bell = (T.Of(1f) - t * t) * innerSlope;
            return dy * T.Of(0.5f) * (T.Of(1f) + T.Fma(x, bell, t));
        }
    }

    private static T Inner<T>(T x)
        where T : struct, IFloats<T> =>
        T.Fma(x * x, T.Of(Cubic), T.Of(1f)) * x * T.Of(Root2OverPi);
}
