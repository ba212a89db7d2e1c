namespace CudaLora.Kernels.Simd;

/// <summary>Sums an array down to a shape that broadcasts to its own: the gradient of broadcasting.</summary>
public static unsafe class ReduceToShape
{
    /// <summary>
    /// target (+)= sum of x over each dimension that <paramref name="targetDims"/> lacks or has as 1.
    /// </summary>
    public static void Run(
        float* x, ReadOnlySpan<int> dims, float* target, ReadOnlySpan<int> targetDims, bool accumulate = false)
    {
        var plan = BroadcastPlan.Create(dims, targetDims, targetDims);
        Span<int> sizes = stackalloc int[BroadcastPlan.MaxRank];
        Span<bool> kept = stackalloc bool[BroadcastPlan.MaxRank];
        var loops = plan.Rank;
        for (var d = 0; d < loops; d++)
        {
            sizes[d] = checked((int)plan.Size(d));
            kept[d] = plan.StrideA(d) != 0 || plan.Size(d) == 1;
        }
        if (!kept[..loops].Contains(false))
        {
            VectorOps.Copy(x, target, plan.Count, accumulate);
            return;
        }
        SumOutermost(x, sizes[..loops], kept[..loops], target, accumulate, ScratchSlot.LocalA);
    }

    // Summing the outermost reduced loop first shrinks the array most for the usual bias shapes.
    private static void SumOutermost(
        float* x, Span<int> sizes, Span<bool> kept, float* target, bool accumulate, ScratchSlot slot)
    {
        var at = kept.IndexOf(false);
        var rest = kept[(at + 1)..].IndexOf(false);
        int outer = Product(sizes[..at]), inner = Product(sizes[(at + 1)..]);
        if (rest < 0)
        {
            SumKernel.Axis(x, outer, sizes[at], inner, 1f, target, accumulate);
            return;
        }
        // Each level of the recursion reads one slot and writes the other.
        var partial = Scratch.Floats(slot, (nint)outer * inner);
        SumKernel.Axis(x, outer, sizes[at], inner, 1f, partial);
        sizes[at] = 1;
        kept[at] = true;
        var other = slot == ScratchSlot.LocalA ? ScratchSlot.LocalB : ScratchSlot.LocalA;
        SumOutermost(partial, sizes, kept, target, accumulate, other);
    }

    private static int Product(ReadOnlySpan<int> sizes)
    {
        var n = 1;
        foreach (var s in sizes)
            n = checked(n * s);
        return n;
    }
}
