using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>Sums over one axis of an array seen as (outer, axis, inner), and the gradient of such sums.</summary>
public static unsafe class SumKernel
{
    private const int Chunk = 16384;

    /// <summary>
    /// y (outer, inner) (+)= scale * sum of x (outer, axis, inner) over axis; 1 / axis gives the mean.
    /// </summary>
    public static void Axis(
        float* x, int outer, int axis, int inner, float scale, float* y, bool accumulate = false)
    {
        if (axis == 0)
        {
            if (!accumulate)
                VectorOps.Fill(y, 0f, (long)outer * inner);
            return;
        }
        if (inner != 1)
        {
            ColumnSum.Run(new ColumnSum.Plain { X = x, Stride = inner }, outer, axis, inner, scale, y, accumulate);
            return;
        }
        var chunks = Split.Items(axis, Chunk);
        var body = new RowBody
        {
            X = x,
            Axis = axis,
            Chunks = chunks,
            Tiles = (long)outer * chunks,
            TilesPerItem = Math.Max(1, Chunk / axis),
            Partial = (double*)Scratch.Floats(ScratchSlot.Shared, 2 * (nint)outer * chunks),
        };
        FloatsLoop.Run(body, Split.Items(body.Tiles, body.TilesPerItem));
        for (var o = 0; o < outer; o++)
        {
            var total = 0.0;
            for (var c = 0; c < chunks; c++)
                total += body.Partial[(long)o * chunks + c];
            var value = (float)(total * scale);
            y[o] = accumulate ? y[o] + value : value;
        }
    }

    /// <summary>Sum of n elements.</summary>
    public static double All(float* x, long n) => Reduce(x, n, false);

    /// <summary>Sum of squares of n elements: the part of one tensor in a gradient norm.</summary>
    public static double Squares(float* x, long n) => Reduce(x, n, true);

    /// <summary>dx (outer, axis, inner) (+)= scale * dy (outer, inner): the gradient of <see cref="Axis"/>.</summary>
    public static void AxisBackward(
        float* dy, int outer, int axis, int inner, float scale, float* dx, bool accumulate = false)
    {
        var body = new ExpandBody
        {
            Dy = dy,
            Dx = dx,
            Axis = axis,
            Inner = inner,
            Scale = scale,
            Rows = (long)outer * axis,
            RowsPerItem = Split.Rows(inner),
            Accumulate = accumulate,
        };
        FloatsLoop.Run(body, Split.Items(body.Rows, body.RowsPerItem));
    }

    private static double Reduce(float* x, long n, bool squares)
    {
        var chunks = Split.Items(n, Chunk);
        var partial = (double*)Scratch.Floats(ScratchSlot.Shared, 2 * (nint)chunks);
        var body = new AllBody { X = x, N = n, Squares = squares, Partial = partial };
        FloatsLoop.Run(body, chunks);
        var total = 0.0;
        for (var c = 0; c < chunks; c++)
            total += body.Partial[c];
        return total;
    }

    private struct RowBody : IFloatsBody
    {
        public float* X;
        public int Axis, Chunks, TilesPerItem;
        public long Tiles;
        public double* Partial;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var first = (long)item * TilesPerItem;
            var end = Math.Min(Tiles, first + TilesPerItem);
            for (var tile = first; tile < end; tile++)
            {
                var start = (int)(tile % Chunks) * Chunk;
                Partial[tile] = Vectors.Sum<T>(X + tile / Chunks * Axis + start, Math.Min(Chunk, Axis - start));
            }
        }
    }

    private struct AllBody : IFloatsBody
    {
        public float* X;
        public long N;
        public bool Squares;
        public double* Partial;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var start = (long)item * Chunk;
            var n = (int)Math.Min(Chunk, N - start);
            Partial[item] = Squares ? Vectors.Dot<T>(X + start, X + start, n) : Vectors.Sum<T>(X + start, n);
        }
    }

    private struct ExpandBody : IFloatsBody
    {
        public float* Dy, Dx;
        public int Axis, Inner, RowsPerItem;
        public long Rows;
        public float Scale;
        public bool Accumulate;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var first = (long)item * RowsPerItem;
            var end = Math.Min(Rows, first + RowsPerItem);
            if (Inner == 1)
            {
                for (var o = first / Axis; o * Axis < end; o++)
                {
                    var (start, stop) = (Math.Max(first, o * Axis), Math.Min(end, (o + 1) * Axis));
                    Vectors.Fill(Dy[o] * Scale, Dx + start, (int)(stop - start), Accumulate);
                }
                return;
            }
            for (var row = first; row < end; row++)
                Vectors.Scale<T>(Dy + row / Axis * Inner, Scale, Dx + row * Inner, Inner, Accumulate);
        }
    }
}
