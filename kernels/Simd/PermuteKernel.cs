using System.Runtime.Intrinsics;

namespace CudaLora.Kernels.Simd;

/// <summary>Copies an array with its axes in another order.</summary>
public static unsafe class PermuteKernel
{
    private const int MaxRank = BroadcastPlan.MaxRank;
    private const int Tile = 32;

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
    /// Returns
    /// how many are left.
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
    /// y is walked as runs, each a tile strip of <c>Lines</c> by <c>Columns</c>: columns are y's last axis, lines the
    /// axis that is contiguous in x. When both are one axis a line is a plain copy.
    /// </summary>
    private struct Body : IParallelBody
    {
        public float* X, Y;
        public bool Accumulate;
        public long Runs;
        public int RunsPerItem, Columns;
        private int outerRank, lines, strips;
        private long lineStrideY, columnStrideX;
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
            var line = columnStrideX == 1 ? -1 : stride[..rank].IndexOf(1);
            lines = line < 0 ? 1 : extent[line];
            strips = Split.Items(lines, Tile);
            long strideOut = Columns;
            Runs = strips;
            for (var d = rank - 2; d >= 0; d--)
            {
                if (d == line)
                {
                    lineStrideY = strideOut;
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

        public void Execute(int item)
        {
            var first = (long)item * RunsPerItem;
            var end = Math.Min(Runs, first + RunsPerItem);
            for (var run = first; run < end; run++)
            {
                var line = (int)(run % strips) * Tile;
                var rest = run / strips;
                var x = X + line;
                var y = Y + line * lineStrideY;
                for (var d = 0; d < outerRank; d++)
                {
                    var at = rest % size[d];
                    rest /= size[d];
                    x += at * strideX[d];
                    y += at * strideY[d];
                }
                if (columnStrideX == 1)
                    Vectors.Copy(x, y, Columns, Accumulate);
                else
                    Strip(x, y, Math.Min(Tile, lines - line));
            }
        }

        private readonly void Strip(float* x, float* y, int count)
        {
            for (var c = 0; c < Columns; c += 4)
            {
                var wide = Columns - c >= 4;
                var l = 0;
                for (; wide && l <= count - 4; l += 4)
                    Square(x + c * columnStrideX + l, y + l * lineStrideY + c);
                for (; l < count; l++)
                {
                    for (var k = c; k < Math.Min(c + 4, Columns); k++)
                    {
                        var to = y + l * lineStrideY + k;
                        *to = x[k * columnStrideX + l] + (Accumulate ? *to : 0f);
                    }
                }
            }
        }

        private readonly void Square(float* x, float* y)
        {
            var r0 = Vector128.Load(x);
            var r1 = Vector128.Load(x + columnStrideX);
            var r2 = Vector128.Load(x + 2 * columnStrideX);
            var r3 = Vector128.Load(x + 3 * columnStrideX);
            Put(Vector128.Create(r0[0], r1[0], r2[0], r3[0]), y);
            Put(Vector128.Create(r0[1], r1[1], r2[1], r3[1]), y + lineStrideY);
            Put(Vector128.Create(r0[2], r1[2], r2[2], r3[2]), y + 2 * lineStrideY);
            Put(Vector128.Create(r0[3], r1[3], r2[3], r3[3]), y + 3 * lineStrideY);
        }

        private readonly void Put(Vector128<float> v, float* y) =>
            (Accumulate ? v + Vector128.Load(y) : v).Store(y);
    }
}
