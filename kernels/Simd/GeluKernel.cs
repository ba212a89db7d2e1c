using static CudaLora.Kernels.Simd.VectorMath;

namespace CudaLora.Kernels.Simd;

/// <summary>GELU (Hendrycks and Gimpel 2016), exact x Phi(x) and the tanh form of GPT-2.</summary>
public static unsafe class GeluKernel
{
    private const float RootHalf = 0.70710678f;
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
        public T Apply<T>(T x)
            where T : struct, IFloats<T>
        {
            var half = x * T.Of(0.5f);
            return T.Fma(half, Erf(x * T.Of(RootHalf)), half);
        }
    }

    private readonly struct ExactSlope : IMap2
    {
        public T Apply<T>(T x, T dy)
            where T : struct, IFloats<T>
        {
            var phi = T.Fma(T.Of(0.5f), Erf(x * T.Of(RootHalf)), T.Of(0.5f));
            var density = Exp(x * x * T.Of(-0.5f)) * T.Of(InverseRoot2Pi);
            return dy * T.Fma(x, density, phi);
        }
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
