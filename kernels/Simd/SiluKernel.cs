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
    internal static T Silu<T>(T x)
        where T : struct, IFloats<T> => x / (T.Of(1f) + Exp(-x));

    /// <summary>silu'(x) = s (1 + x (1 - s)).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static T Derivative<T>(T x, T sigmoid)
        where T : struct, IFloats<T> =>
        sigmoid * T.Fma(x, T.Of(1f) - sigmoid, T.Of(1f));

    private readonly struct Value : IMap1
    {
        public T Apply<T>(T x)
            where T : struct, IFloats<T> => Silu(x);
    }

    private readonly struct Slope : IMap2
    {
        public T Apply<T>(T x, T dy)
            where T : struct, IFloats<T> => dy * Derivative(x, Sigmoid(x));
    }
}
