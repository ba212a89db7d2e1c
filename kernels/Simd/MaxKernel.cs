using System.Numerics;

namespace CudaLora.Kernels.Simd;

/// <summary>Maximum over one axis of an array seen as (outer, axis, inner), and where it occurs first.</summary>
public static unsafe class MaxKernel
{
    // Columns that go down the axis together: their maxima stay in the first-level cache.
    private const int ColumnBlock = 256;

    /// <summary>
    /// y (outer, inner) = max of x over axis, at = its first index; NaN counts as largest. y or at may be null.
    /// </summary>
    public static void Axis(float* x, int outer, int axis, int inner, float* y, int* at)
    {
        var width = Math.Min(inner, ColumnBlock);
        var body = new Body
        {
            X = x,
            Y = y,
            At = at,
            Axis = axis,
            Inner = inner,
            Blocks = Split.Items(inner, ColumnBlock),
            TilesPerItem = Split.Rows((int)Math.Min(int.MaxValue, (long)axis * width)),
        };
        body.Tiles = (long)outer * body.Blocks;
        Workers.Run(ref body, Split.Items(body.Tiles, body.TilesPerItem));
    }

    /// <summary>dx (outer, axis, inner) (+)= dy (outer, inner) at the recorded indices, zero elsewhere.</summary>
    public static void AxisBackward(
        float* dy, int* at, int outer, int axis, int inner, float* dx, bool accumulate = false)
    {
        if (!accumulate)
            VectorOps.Fill(dx, 0f, (long)outer * axis * inner);
        for (var o = 0; o < outer; o++)
        {
            for (var i = 0; i < inner; i++)
            {
                var cell = (long)o * inner + i;
                dx[((long)o * axis + at[cell]) * inner + i] += dy[cell];
            }
        }
    }

    private struct Body : IParallelBody
    {
        public float* X, Y;
        public int* At;
        public int Axis, Inner, Blocks, TilesPerItem;
        public long Tiles;

        public readonly void Execute(int item)
        {
            var value = stackalloc float[ColumnBlock];
            var best = stackalloc int[ColumnBlock];
            var first = (long)item * TilesPerItem;
            var end = Math.Min(Tiles, first + TilesPerItem);
            for (var tile = first; tile < end; tile++)
            {
                var column = (int)(tile % Blocks) * ColumnBlock;
                var outer = tile / Blocks;
                var count = Math.Min(ColumnBlock, Inner - column);
                var x = X + outer * Axis * Inner + column;
                if (Inner == 1)
                {
                    best[0] = Row(x, Axis);
                    value[0] = x[best[0]];
                }
                else
                {
                    Columns(x, count, value, best);
                }
                var cell = outer * Inner + column;
                if (Y != null)
                    new Span<float>(value, count).CopyTo(new Span<float>(Y + cell, count));
                if (At != null)
                    new Span<int>(best, count).CopyTo(new Span<int>(At + cell, count));
            }
        }

        private readonly void Columns(float* x, int count, float* value, int* best)
        {
            new Span<float>(x, count).CopyTo(new Span<float>(value, count));
            new Span<int>(best, count).Clear();
            for (var k = 1; k < Axis; k++)
            {
                var row = x + (long)k * Inner;
                var c = 0;
                for (; c <= count - Vectors.Width; c += Vectors.Width)
                {
                    Vector<float> candidate = Vector.Load(row + c), largest = Vector.Load(value + c);
                    var take = Vector.GreaterThan(candidate, largest)
                        | (Vector.Equals(largest, largest) & ~Vector.Equals(candidate, candidate));
                    Vector.ConditionalSelect(take, candidate, largest).Store(value + c);
                    Vector.ConditionalSelect(take, new Vector<int>(k), Vector.Load(best + c)).Store(best + c);
                }
                for (; c < count; c++)
                {
                    if (row[c] > value[c] || (float.IsNaN(row[c]) && !float.IsNaN(value[c])))
                        (value[c], best[c]) = (row[c], k);
                }
            }
        }
    }

    // Where the maximum, or the first NaN, of a row is: first what it is, then where, a look at what the cache holds.
    private static int Row(float* x, int n)
    {
        var max = x[0];
        var clean = Vector<int>.AllBitsSet;
        var c = 0;
        if (n >= Vectors.Width)
        {
            Vector<float> even = Vector.Load(x), odd = even;
            for (; c <= n - 2 * Vectors.Width; c += 2 * Vectors.Width)
            {
                Vector<float> a = Vector.Load(x + c), b = Vector.Load(x + c + Vectors.Width);
                clean &= Vector.Equals(a, a) & Vector.Equals(b, b);
                even = Vector.MaxNative(a, even);
                odd = Vector.MaxNative(b, odd);
            }
            max = FloatsAny.Highest(new FloatsAny(Vector.MaxNative(even, odd)));
        }
        for (; c < n; c++)
        {
            if (float.IsNaN(x[c]))
                clean = Vector<int>.Zero;
            max = x[c] > max ? x[c] : max;
        }
        return Find(x, n, clean == Vector<int>.AllBitsSet ? max : float.NaN);
    }

    // The first element that is max, or NaN if max is.
    private static int Find(float* x, int n, float max)
    {
        var nan = float.IsNaN(max);
        var sought = new Vector<float>(max);
        var c = 0;
        for (; c <= n - Vectors.Width; c += Vectors.Width)
        {
            var v = Vector.Load(x + c);
            if (nan ? !Vector.EqualsAll(v, v) : Vector.EqualsAny(v, sought))
                break;
        }
        while (!(nan ? float.IsNaN(x[c]) : x[c] == max))
            c++;
        return c;
    }
}
