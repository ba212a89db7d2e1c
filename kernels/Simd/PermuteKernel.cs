namespace CudaLora.Kernels.Simd;

/// <summary>Copies an array with its axes in another order.</summary>
public static unsafe class PermuteKernel
{
    private const int MaxRank = BroadcastPlan.MaxRank;
    private const int Tile = 64;

    // A cache line more than the tile is wide, so that its lines do not fight for the same cache sets.
    private const int TileStride = Tile + 16;

    /// <summary>
    /// Axis i of y is axis <paramref name="order"/>[i] of x, whose shape is <paramref name="dims"/>: y (+)= permuted x.
    /// The gradient is the inverse permutation.
    /// </summary>
    public static void Run(
        float* x, ReadOnlySpan<int> dims, ReadOnlySpan<int> order, float* y, bool accumulate = false)
    {
        var body = new Body { X = x, Y = y, Accumulate = accumulate };
        body.Plan(dims, order);
        if (body.Runs > 0 && body.Columns > 0)
            Workers.Run(ref body, Split.Items(body.Runs, body.RunsPerItem));
    }

    /// <summary>
    /// Axes of y: extents and strides in x, without axes of one element, neighbours that stay neighbours joined.
    /// Returns how many are left.
    /// </summary>
    internal static int Merge(
        ReadOnlySpan<int> dims, ReadOnlySpan<int> order, Span<int> extent, Span<long> stride)
    {
        Span<long> from = stackalloc long[MaxRank];
        long s = 1;
        for (var d = dims.Length - 1; d >= 0; s *= dims[d], d--)
            from[d] = s;
        var rank = 0;
        foreach (var axis in order)
        {
            if (dims[axis] == 1)
                continue;
            if (rank > 0 && stride[rank - 1] == from[axis] * dims[axis])
            {
                extent[rank - 1] *= dims[axis];
                stride[rank - 1] = from[axis];
                continue;
            }
            extent[rank] = dims[axis];
            stride[rank++] = from[axis];
        }
        if (rank == 0)
            (extent[0], stride[0], rank) = (1, 1, 1);
        return rank;
    }

    /// <summary>
    /// y is walked as strips of <c>Tile</c> lines by all <c>Columns</c>: columns are y's last axis, lines the axis that
    /// is contiguous in x. When both are one axis, lines are y's last axis but one and every line is a plain copy.
    /// </summary>
    private struct Body : IParallelBody
    {
        public float* X, Y;
        public bool Accumulate;
        public long Runs;
        public int RunsPerItem, Columns;
        private int outerRank, lines, strips;
        private long lineStrideX, lineStrideY, columnStrideX;
        private fixed int size[MaxRank];
        private fixed long strideX[MaxRank];
        private fixed long strideY[MaxRank];

        public void Plan(ReadOnlySpan<int> dims, ReadOnlySpan<int> order)
        {
            Span<int> extent = stackalloc int[MaxRank];
            Span<long> stride = stackalloc long[MaxRank];
            var rank = Merge(dims, order, extent, stride);
            Columns = extent[rank - 1];
            columnStrideX = stride[rank - 1];
            var line = columnStrideX == 1 ? rank - 2 : stride[..rank].IndexOf(1);
            lines = line < 0 ? 1 : extent[line];
            strips = Split.Items(lines, Tile);
            long strideOut = Columns;
            Runs = strips;
            for (var d = rank - 2; d >= 0; d--)
            {
                if (d == line)
                {
                    (lineStrideX, lineStrideY) = (stride[d], strideOut);
                }
                else
                {
                    size[outerRank] = extent[d];
                    strideX[outerRank] = stride[d];
                    strideY[outerRank++] = strideOut;
                    Runs *= extent[d];
                }
                strideOut *= extent[d];
            }
            RunsPerItem = Split.Rows((int)Math.Min(int.MaxValue, (long)Columns * Math.Min(Tile, lines)));
        }

        public readonly void Execute(int item)
        {
            var first = (long)item * RunsPerItem;
            var end = Math.Min(Runs, first + RunsPerItem);
            for (var run = first; run < end; run++)
            {
                var line = (int)(run % strips) * Tile;
                var rest = run / strips;
                var x = X + line * lineStrideX;
                var y = Y + line * lineStrideY;
                for (var d = 0; d < outerRank; d++)
                {
                    var at = rest % size[d];
                    rest /= size[d];
                    x += at * strideX[d];
                    y += at * strideY[d];
                }
                var count = Math.Min(Tile, lines - line);
                if (columnStrideX == 1)
                    Put(x, lineStrideX, y, count, Columns);
                else
                    Transpose(x, y, count);
            }
        }

        // By way of a tile in the first-level cache: y then gets its cache lines whole. Written in parts, lines that
        // lie a power of two apart would push one another out of their few places in the cache between the parts.
        private readonly void Transpose(float* x, float* y, int count)
        {
            var tile = Scratch.Floats(ScratchSlot.LocalA, Tile * TileStride);
            for (var c = 0; c < Columns; c += Tile)
            {
                var width = Math.Min(Tile, Columns - c);
                Packing.Transpose(x + c * columnStrideX, (nint)columnStrideX, tile, TileStride, width, count);
                Put(tile, TileStride, y + c, count, width);
            }
        }

        private readonly void Put(float* from, long stride, float* y, int count, int width)
        {
            for (var l = 0; l < count; l++)
                Vectors.Copy(from + l * stride, y + l * lineStrideY, width, Accumulate);
        }
    }
}
