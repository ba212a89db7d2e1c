using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using CudaLora.Kernels.Simd;

namespace CudaLora.Cli;

/// <summary>
/// The ceiling of the processor at this moment: independent multiply-adds between registers, on every worker. A product
/// compared with the same amount of this arithmetic in the same run gives a ratio that a busy machine does not distort.
/// </summary>
internal struct FmaPeak : IParallelBody
{
    private const int Chains = 10;

    private long _steps;
    private float _sink;

    public static void Run(double flops)
    {
        int width = SimdSupport.Best == SimdPath.Vector512 ? Vector512<float>.Count : Vector256<float>.Count;
        double perStep = 2.0 * Chains * width * Workers.Count;
        var body = new FmaPeak { _steps = Math.Max(1, (long)(flops / perStep)) };
        Workers.Run(ref body, Workers.Count);
    }

    public void Execute(int item)
    {
        float result = SimdSupport.Best == SimdPath.Vector512 ? Wide(_steps) : Narrow(_steps);
        if (float.IsNaN(result))
            _sink = result;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Narrow(long steps)
    {
        Vector256<float> x = Vector256.Create(0.5f), y = Vector256.Create(0.001f);
        Vector256<float> a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x;
        for (long step = 0; step < steps; step++)
        {
            a = Vector256.MultiplyAddEstimate(a, x, y);
            b = Vector256.MultiplyAddEstimate(b, x, y);
            c = Vector256.MultiplyAddEstimate(c, x, y);
            d = Vector256.MultiplyAddEstimate(d, x, y);
            e = Vector256.MultiplyAddEstimate(e, x, y);
            f = Vector256.MultiplyAddEstimate(f, x, y);
            g = Vector256.MultiplyAddEstimate(g, x, y);
            h = Vector256.MultiplyAddEstimate(h, x, y);
            i = Vector256.MultiplyAddEstimate(i, x, y);
            j = Vector256.MultiplyAddEstimate(j, x, y);
        }
        return Vector256.Sum(a + b + c + d + e + f + g + h + i + j);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Wide(long steps)
    {
        Vector512<float> x = Vector512.Create(0.5f), y = Vector512.Create(0.001f);
        Vector512<float> a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x;
        for (long step = 0; step < steps; step++)
        {
            a = Vector512.MultiplyAddEstimate(a, x, y);
            b = Vector512.MultiplyAddEstimate(b, x, y);
            c = Vector512.MultiplyAddEstimate(c, x, y);
            d = Vector512.MultiplyAddEstimate(d, x, y);
            e = Vector512.MultiplyAddEstimate(e, x, y);
            f = Vector512.MultiplyAddEstimate(f, x, y);
            g = Vector512.MultiplyAddEstimate(g, x, y);
            h = Vector512.MultiplyAddEstimate(h, x, y);
            i = Vector512.MultiplyAddEstimate(i, x, y);
            j = Vector512.MultiplyAddEstimate(j, x, y);
        }
        return Vector512.Sum(a + b + c + d + e + f + g + h + i + j);
    }
}
