using System.Runtime.InteropServices;
using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Dropout.ptx: inverted dropout (Srivastava et al. 2014) with the mask that <see cref="DropoutKernel"/> draws on the
/// CPU. Backward is the same kernel on the gradient.
/// </summary>
public static class Dropout
{
    /// <summary>x, y (n); y may be x unless it accumulates. StreamAt: a u64 to add to Stream, or 0.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(
        ulong X, ulong Y, long N, ulong Seed, ulong Stream, ulong StreamAt, int Vectors, uint Threshold, float Scale,
        int Accumulate);

    /// <summary>
    /// Queues y (+)= mask(x) / (1 - p), p in [0, 1]. The stream number is <paramref name="number"/> plus the u64 at
    /// <paramref name="numberAt"/> in device memory, unless that address is 0: what a captured graph reads anew at
    /// every replay.
    /// </summary>
    public static void Apply(
        CudaStream stream, ulong x, ulong y, long n, float p, ulong seed, ulong number, ulong numberAt,
        bool accumulate, bool bf16)
    {
        if (n == 0) return;
        var plan = Pointwise.Of(n, Pointwise.PerVector(bf16), x | y);
        stream.Context.Modules.Kernel<Args>("Dropout", bf16 ? "dropout_bf16" : "dropout_f32").Launch(
            stream, plan.Shape,
            new(
                x, y, n, seed, number, numberAt, plan.Vectors, DropoutKernel.Threshold(p), p < 1f ? 1f / (1f - p) : 0f,
                Pointwise.Flag(accumulate)));
    }
}
