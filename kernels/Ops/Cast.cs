using System.Runtime.InteropServices;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>Element types that <see cref="Cast"/> reads and writes.</summary>
public enum CastType
{
    /// <summary>IEEE single precision.</summary>
    F32 = 0,

    /// <summary>bfloat16.</summary>
    BF16 = 1,

    /// <summary>IEEE half precision.</summary>
    F16 = 2,

    /// <summary>Signed 32-bit integer; only to read.</summary>
    I32 = 3,
}

/// <summary>Cast.ptx: the same values in another element type, rounded to nearest even.</summary>
public static class Cast
{
    /// <summary>x, y (n) of the types From and To. Accumulate 1 adds to y.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(
        ulong X, ulong Y, long N, int Vectors, CastType From, CastType To, int Accumulate);

    /// <summary>
    /// Queues y (+)= x; y is F32, BF16 or F16, and F32 or BF16 when it accumulates. Beyond a type's range the result is
    /// infinite.
    /// </summary>
    public static void Run(
        CudaStream stream, ulong x, CastType from, ulong y, CastType to, long n, bool accumulate = false)
    {
        if (to == CastType.I32 || (accumulate && to == CastType.F16))
            throw new ArgumentException($"[cast] the result must be F32 or BF16, or F16 without adding, but got {to}");
        if (n == 0) return;
        // Four elements at once where both sides allow it.
        bool aligned = x % (4u * Bytes(from)) == 0 && y % (4u * Bytes(to)) == 0;
        var plan = Pointwise.Of(n, 4, aligned ? 0u : 1u);
        stream.Context.Modules.Kernel<Args>("Cast", "cast_any")
            .Launch(stream, plan.Shape, new(x, y, n, plan.Vectors, from, to, Pointwise.Flag(accumulate)));
    }

    private static uint Bytes(CastType type) => type is CastType.F32 or CastType.I32 ? 4u : 2u;
}
