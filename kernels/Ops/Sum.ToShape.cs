using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Ops;

public static partial class Sum
{
    /// <summary>f32 values that <see cref="ToShape"/> needs between its sums; often 0.</summary>
    public static long ToShapeScratchCount(ReadOnlySpan<int> dims, ReadOnlySpan<int> target, bool bf16) =>
        ToShape(null, new(0, bf16), dims, 1, default, target, false, 0);

    /// <summary>
    /// Queues y (+)= scale * sum of x over each dimension that <paramref name="target"/> lacks or has as 1: the
    /// gradient of broadcasting. <paramref name="scratch"/> holds <see cref="ToShapeScratchCount"/> f32 values; returns
    /// that count.
    /// </summary>
    public static long ToShape(
        CudaStream? stream, Operand x, ReadOnlySpan<int> dims, float scale, Operand y, ReadOnlySpan<int> target,
        bool accumulate, ulong scratch)
    {
        var plan = BroadcastPlan.Create(dims, target, target);
        Span<int> sizes = stackalloc int[BroadcastPlan.MaxRank];
        Span<bool> kept = stackalloc bool[BroadcastPlan.MaxRank];
        for (int d = 0; d < plan.Rank; d++)
        {
            sizes[d] = checked((int)plan.Size(d));
            kept[d] = plan.StrideA(d) != 0 || plan.Size(d) == 1;
        }
        sizes = sizes[..plan.Rank];
        kept = kept[..plan.Rank];
        if (!kept.Contains(false))
        {
            if (stream is not null) Elementwise.Scale(stream, x, scale, y, plan.Count, accumulate);
            return 0;
        }
        long used = 0;
        // The outermost first: that shrinks the array most for the usual bias shapes.
        while (true)
        {
            int at = kept.IndexOf(false), outer = Product(sizes[..at]), inner = Product(sizes[(at + 1)..]);
            int axis = sizes[at];
            (sizes[at], kept[at]) = (1, true);
            bool last = !kept.Contains(false);
            ulong chunks = scratch + (4 * (ulong)used);
            used += ScratchCount(outer, axis, inner, x.Bf16);
            var to = last ? y : new Operand(scratch + (4 * (ulong)used), Bf16: false);
            if (stream is not null)
            {
                Axis(
                    stream, x.Address, x.Bf16, outer, axis, inner, last ? scale : 1, to.Address, to.Bf16,
                    last && accumulate, chunks);
            }
            if (last) return used;
            used += (long)outer * inner;
            x = to;
        }
    }

    private static int Product(ReadOnlySpan<int> sizes)
    {
        int n = 1;
        foreach (int size in sizes) n = checked(n * size);
        return n;
    }
}
