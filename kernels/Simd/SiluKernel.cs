using System.Numerics;
using System.Runtime.CompilerServices;
using static CudaLora.Kernels.Simd.VectorMath;

namespace CudaLora.Kernels.Simd;

/// <summary>SiLU: y = x / (1 + e^-x) (Elfwing et al. 2017). Backward recomputes the sigmoid.</summary>
public static unsafe class SiluKernel
{
    /// <summary>y (+)= silu(x).</summary>
    public static void Forward(float* x, float* y, long n, bool accumulate = false) =>
        Map.Run(default(Value), x, y, n, accumulate);

    /// <summary>dx (+)= dy silu'(x).</summary>
    public static void Backward(float* x, float* dy, float* dx, long n, bool accumulate = false) =>
        Map.Run(default(Slope), x, dy, dx, n, accumulate);

    /// <summary>silu(x).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector<float> Silu(Vector<float> x) => x / (Vector<float>.One + Exp(-x));

    /// <summary>silu'(x) = s (1 + x (1 - s)).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector<float> Derivative(Vector<float> x, Vector<float> sigmoid) =>
        sigmoid * Fma(x, Vector<float>.One - sigmoid, Vector<float>.One);

    private readonly struct Value : IMap1
    {
        public Vector<float> Apply(Vector<float> x) => Silu(x);
    }

    private readonly struct Slope : IMap2
    {
        public Vector<float> Apply(Vector<float> x, Vector<float> dy) => dy * Derivative(x, Sigmoid(x));
    }
}
