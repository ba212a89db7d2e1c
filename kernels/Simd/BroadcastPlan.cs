namespace CudaLora.Kernels.Simd;

/// <summary>
/// Two contiguous arrays broadcast to one shape, as loops: adjacent dimensions that move alike are merged, so that most
/// calls end as one or two loops. Strides are in elements; 0 repeats.
/// </summary>
public unsafe struct BroadcastPlan
{
    /// <summary>Highest rank of a shape.</summary>
    public const int MaxRank = 6;

    private fixed long sizes[MaxRank];
    private fixed long stridesA[MaxRank];
    private fixed long stridesB[MaxRank];

    /// <summary>Number of loops left, at least one.</summary>
    public int Rank { get; private set; }

    /// <summary>Number of elements of the result.</summary>
    public long Count { get; private set; }

    internal readonly long Size(int loop) => sizes[loop];

    internal readonly long StrideA(int loop) => stridesA[loop];

    internal readonly long StrideB(int loop) => stridesB[loop];

    /// <summary>Plans a and b broadcast to <paramref name="result"/>, aligned at the last dimension.</summary>
    /// <exception cref="ArgumentException">A dimension is neither 1 nor that of the result.</exception>
    public static BroadcastPlan Create(ReadOnlySpan<int> result, ReadOnlySpan<int> a, ReadOnlySpan<int> b)
    {
        if (result.Length > MaxRank || a.Length > result.Length || b.Length > result.Length)
            throw new ArgumentException($"[broadcast] rank must be at most {MaxRank} and no operand may exceed the " +
                $"result, but got result {result.Length}, a {a.Length}, b {b.Length}");
        var plan = new BroadcastPlan { Count = 1 };
        long strideA = 1, strideB = 1;
        var loops = 0;
        // Built from the innermost loop outwards, then turned around.
        for (var d = 1; d <= result.Length; d++)
        {
            long size = result[^d];
            long sizeA = d <= a.Length ? a[^d] : 1, sizeB = d <= b.Length ? b[^d] : 1;
            if ((sizeA != 1 && sizeA != size) || (sizeB != 1 && sizeB != size))
                throw new ArgumentException($"[broadcast] dimensions must be 1 or {size}, but got {sizeA} and {sizeB}");
            plan.Count *= size;
            var stepA = sizeA == 1 ? 0 : strideA;
            var stepB = sizeB == 1 ? 0 : strideB;
            strideA *= sizeA;
            strideB *= sizeB;
            if (size == 1)
                continue;
            var last = loops - 1;
            if (loops > 0 && stepA == plan.stridesA[last] * plan.sizes[last]
                && stepB == plan.stridesB[last] * plan.sizes[last])
            {
                plan.sizes[last] *= size;
                continue;
            }
            plan.sizes[loops] = size;
            plan.stridesA[loops] = stepA;
            plan.stridesB[loops] = stepB;
            loops++;
        }
        if (loops == 0)
            (plan.sizes[0], plan.stridesA[0], plan.stridesB[0], loops) = (1, 1, 1, 1);
        for (int i = 0, j = loops - 1; i < j; i++, j--)
        {
            (plan.sizes[i], plan.sizes[j]) = (plan.sizes[j], plan.sizes[i]);
            (plan.stridesA[i], plan.stridesA[j]) = (plan.stridesA[j], plan.stridesA[i]);
            (plan.stridesB[i], plan.stridesB[j]) = (plan.stridesB[j], plan.stridesB[i]);
        }
        plan.Rank = loops;
        return plan;
    }

    /// <summary>Offsets into a and b of the given run of the innermost loop.</summary>
    internal readonly void Locate(long run, out long a, out long b)
    {
        a = b = 0;
        for (var d = Rank - 2; d >= 0; d--)
        {
            var at = run % sizes[d];
            run /= sizes[d];
            a += at * stridesA[d];
            b += at * stridesB[d];
        }
    }
}
