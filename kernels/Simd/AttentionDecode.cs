namespace CudaLora.Kernels.Simd;

/// <summary>
/// Forward for few queries (decode): the rows of k and v are read where they lie, once for all heads of the group.
/// </summary>
internal unsafe struct AttentionDecodeBody<TLanes, TVec> : IParallelBody
    where TLanes : struct, ILanes<TVec>
    where TVec : struct
{
    /// <summary>Up to this many queries per sequence, packing keys costs more than it saves.</summary>
    public const int MaxQueries = 4;

    public AttentionShape Shape;
    public float* Q;
    public float* K;
    public float* V;
    public float* Y;
    public float* Lse;

    public readonly void Execute(int item)
    {
        int batch = item / Shape.KeyHeads, head = item % Shape.KeyHeads;
        AttentionMask mask = Shape.Mask(batch);
        for (int t = 0; t < Shape.QueryLength; t++)
            One(mask, batch, head, t);
    }

    private readonly void One(in AttentionMask mask, int batch, int head, int t)
    {
        int group = Shape.Group, size = Shape.HeadSize;
        int end = mask.End(t);
        int first = Math.Min(mask.First(t), end);
        int count = end - first;
        int padded = GemmPlan.RoundUp(count, TLanes.Width);
        float* scores = Scratch.Floats(ScratchSlot.Attention, Math.Max(1, (nint)group * padded)); // (group, keys)
        nint stride = Shape.KeyStride, from = Shape.KeyOffset(batch, head) + (first * stride);
        nint q = Shape.QueryOffset(batch, t, head * group);

        for (int j = 0; j < count; j += 4)
            for (int g = 0; g < group; g += 3)
                GemmTiles<TLanes, TVec>.Dot(
                    Math.Min(3, group - g), Math.Min(4, count - j), size, Q + q + ((nint)g * size), size,
                    K + from + (j * stride), stride, Shape.Scale, 0, scores + ((nint)g * padded) + j, padded);
        bool segments = count > 0 && !mask.OneSegment(first, end, t, t + 1);
        for (int g = 0; g < group; g++)
        {
            float* row = scores + ((nint)g * padded);
            new Span<float>(row + count, padded - count).Fill(float.NegativeInfinity);
            for (int j = 0; segments && j < count; j++)
                if (!mask.SameSegment(first + j, t))
                    row[j] = float.NegativeInfinity;
            float max = AttentionRows<TLanes, TVec>.Highest(row, padded);
            float sum = 0;
            if (float.IsNegativeInfinity(max))
                new Span<float>(row, padded).Clear();
            else
                sum = AttentionRows<TLanes, TVec>.ExpSum(row, padded, max);
            AttentionRows<TLanes, TVec>.Combine(row, 0, row, sum == 0 ? 0 : 1 / sum, padded);
            if (Lse != null)
                Lse[Shape.LseOffset(batch, (head * group) + g) + t] = max + MathF.Log(sum);
        }
        AddValues(group, count, scores, padded, V + from, stride, Y + q);
    }

    private readonly void AddValues(
        int group, int count, float* scores, int padded, float* v, nint stride, float* y)
    {
        int size = Shape.HeadSize, width = GemmTiles<TLanes, TVec>.PanelWidth;
        for (int g = 0; g < group; g += TLanes.TileRows)
        {
            int rows = Math.Min(TLanes.TileRows, group - g);
            int d = 0;
            for (; d <= size - width; d += width)
                GemmTiles<TLanes, TVec>.Full(
                    rows, count, scores + ((nint)g * padded), padded, v + d, stride, 1, 0, y + (g * size) + d, size);
            for (int i = g; i < g + rows; i++)
            {
                float* to = y + ((nint)i * size);
                new Span<float>(to + d, size - d).Clear();
                for (int j = 0; d < size && j < count; j++)
                    AttentionRows<TLanes, TVec>.Combine(
                        to + d, 1, v + (j * stride) + d, scores[((nint)i * padded) + j], size - d);
            }
        }
    }
}
