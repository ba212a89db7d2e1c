using System.Runtime.InteropServices;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>Silu.ptx (f32) and SiluBf16.ptx: y = x / (1 + e^-x) (Elfwing et al. 2017), and its gradient.</summary>
public static class Silu
{
    /// <summary>x, y (n); y may be x.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct ForwardArgs(ulong X, ulong Y, long N, int Vectors);

    /// <summary>x, dy, dx (n). Accumulate 1 adds to dx.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct BackwardArgs(ulong X, ulong Dy, ulong Dx, long N, int Vectors, int Accumulate);

    /// <summary>Queues y = silu(x) for n elements.</summary>
    public static void Forward(CudaStream stream, ulong x, ulong y, long n, bool bf16)
    {
        if (n == 0) return;
        var plan = Pointwise.Of(n, Pointwise.PerVector(bf16), x | y);
        Kernel<ForwardArgs>(stream, bf16, "silu_forward_f32", "silu_forward_bf16")
            .Launch(stream, plan.Shape, new(x, y, n, plan.Vectors));
    }

    /// <summary>Queues dx (+)= dy silu'(x) for n elements.</summary>
    public static void Backward(CudaStream stream, ulong x, ulong dy, ulong dx, long n, bool accumulate, bool bf16)
    {
        if (n == 0) return;
        var plan = Pointwise.Of(n, Pointwise.PerVector(bf16), x | dy | dx);
        Kernel<BackwardArgs>(stream, bf16, "silu_backward_f32", "silu_backward_bf16")
            .Launch(stream, plan.Shape, new(x, dy, dx, n, plan.Vectors, Pointwise.Flag(accumulate)));
    }

    // Whole names, so that a launch builds no string.
    private static Kernel<TArgs> Kernel<TArgs>(CudaStream stream, bool bf16, string single, string half)
        where TArgs : unmanaged =>
        stream.Context.Modules.Kernel<TArgs>(bf16 ? "SiluBf16" : "Silu", bf16 ? half : single);
}
