using System.Runtime.InteropServices;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Gelu.ptx (f32) and GeluBf16.ptx: y = x Phi(x) (Hendrycks and Gimpel 2016) or GPT-2's tanh form, and the gradient.
/// </summary>
public static class Gelu
{
    /// <summary>x, y (n); y may be x. Tanh 1 takes the tanh form.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct ForwardArgs(ulong X, ulong Y, long N, int Vectors, int Tanh);

    /// <summary>x, dy, dx (n). Accumulate 1 adds to dx.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct BackwardArgs(
        ulong X, ulong Dy, ulong Dx, long N, int Vectors, int Accumulate, int Tanh);

    /// <summary>Queues y = gelu(x) for n elements.</summary>
    public static void Forward(CudaStream stream, ulong x, ulong y, long n, bool tanh, bool bf16)
    {
        if (n == 0) return;
        var plan = Pointwise.Of(n, Pointwise.PerVector(bf16), x | y);
        Kernel<ForwardArgs>(stream, bf16, "gelu_forward_f32", "gelu_forward_bf16")
            .Launch(stream, plan.Shape, new(x, y, n, plan.Vectors, Pointwise.Flag(tanh)));
    }

    /// <summary>Queues dx (+)= dy gelu'(x) for n elements.</summary>
    public static void Backward(
        CudaStream stream, ulong x, ulong dy, ulong dx, long n, bool accumulate, bool tanh, bool bf16)
    {
        if (n == 0) return;
        var plan = Pointwise.Of(n, Pointwise.PerVector(bf16), x | dy | dx);
        Kernel<BackwardArgs>(stream, bf16, "gelu_backward_f32", "gelu_backward_bf16").Launch(
            stream, plan.Shape,
            new(x, dy, dx, n, plan.Vectors, Pointwise.Flag(accumulate), Pointwise.Flag(tanh)));
    }

    // Whole names, so that a launch builds no string.
    private static Kernel<TArgs> Kernel<TArgs>(CudaStream stream, bool bf16, string single, string half)
        where TArgs : unmanaged =>
        stream.Context.Modules.Kernel<TArgs>(bf16 ? "GeluBf16" : "Gelu", bf16 ? half : single);
}
