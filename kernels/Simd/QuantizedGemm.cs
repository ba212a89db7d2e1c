namespace CudaLora.Kernels.Simd;

/// <summary>
/// Products with a 4-bit weight W (n, k) that stays 4-bit in memory. Nothing is allocated once each thread has its work
/// memory; the bits do not depend on the thread count.
/// </summary>
public static unsafe class QuantizedGemm
{
    /// <summary>y (m, n) = x (m, k) Wᵀ + beta y. Few rows are multiplied from registers, more through panels.</summary>
    public static void Forward(in QuantizedView weight, int m, int n, int k, float* x, float beta, float* y)
    {
        if (m >= 1 && m <= QuantizedGemv.MostRows && QuantizedGemv.Supports(weight, k))
            QuantizedGemv.Run(weight, m, n, k, x, beta, y);
        else
            Gemm.Run(
                SimdSupport.Best, true,
                Gemm.Product(false, true, m, n, k, 1, x, k, new QuantizedSource(weight, k), beta, y, n), k);
    }

    /// <summary>dx (m, k) = dy (m, n) W + beta dx.</summary>
    public static void BackwardInput(in QuantizedView weight, int m, int n, int k, float* dy, float beta, float* dx)
        => Gemm.Run(
            SimdSupport.Best, true,
            Gemm.Product(false, false, m, k, n, 1, dy, n, new QuantizedSource(weight, k), beta, dx, k), k);
}
