using System.Numerics;
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
        public Vector<float> Apply(Vector<float> x)
        {
            var half = x * Of(0.5f);
            return Fma(half, Erf(x * Of(RootHalf)), half);
        }
    }

    private readonly struct ExactSlope : IMap2
    {
        public Vector<float> Apply(Vector<float> x, Vector<float> dy)
        {
            var phi = Fma(Of(0.5f), Erf(x * Of(RootHalf)), Of(0.5f));
            var density = Exp(x * x * Of(-0.5f)) * Of(InverseRoot2Pi);
            return dy * Fma(x, density, phi);
        }
    }

    private readonly struct Approximate : IMap1
    {
        public Vector<float> Apply(Vector<float> x)
        {
            var half = x * Of(0.5f);
            return Fma(half, Tanh(Inner(x)), half);
        }
    }

    private readonly struct ApproximateSlope : IMap2
    {
        public Vector<float> Apply(Vector<float> x, Vector<float> dy)
        {
            var t = Tanh(Inner(x));
            var innerSlope = Fma(x * x, Of(3f * Cubic * Root2OverPi), Of(Root2OverPi));
            var bell = (Vector<float>.One - t * t) * innerSlope;
            return dy * Of(0.5f) * (Vector<float>.One + Fma(x, bell, t));
        }
    }

    private static Vector<float> Inner(Vector<float> x) =>
        Fma(x * x, Of(Cubic), Vector<float>.One) * x * Of(Root2OverPi);
}
