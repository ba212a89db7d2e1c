namespace CudaLora.Kernels.Simd;

/// <summary>Maximum over one axis of an array seen as (outer, axis, inner), and where it occurs first.</summary>
public static unsafe class MaxKernel
{
    /// <summary>
    /// y (outer, inner) = max of x over axis, at = its first index; NaN counts as largest. y or at may be null.
    /// </summary>
    public static void Axis(float* x, int outer, int axis, int inner, float* y, int* at)
    {
        var body = new Body
        {
            X = x,
            Y = y,
            At = at,
            Axis = axis,
            Inner = inner,
            Cells = (long)outer * inner,
            CellsPerItem = Split.Rows(axis),
        };
        Workers.Run(ref body, Split.Items(body.Cells, body.CellsPerItem));
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
        public int Axis, Inner, CellsPerItem;
        public long Cells;

        public readonly void Execute(int item)
        {
            var first = (long)item * CellsPerItem;
            var end = Math.Min(Cells, first + CellsPerItem);
            for (var cell = first; cell < end; cell++)
            {
                var p = X + cell / Inner * Axis * Inner + cell % Inner;
                var best = 0;
                var value = *p;
                for (var k = 1; k < Axis && !float.IsNaN(value); k++)
                {
                    var candidate = p[(long)k * Inner];
                    if (candidate > value || float.IsNaN(candidate))
                        (value, best) = (candidate, k);
                }
                if (Y != null)
                    Y[cell] = value;
                if (At != null)
                    At[cell] = best;
            }
        }
    }
}
