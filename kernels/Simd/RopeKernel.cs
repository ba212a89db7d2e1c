using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// Rotary positions (Su et al. 2021), rotate-half layout: elements j and j + D / 2 of a head turn together.
/// </summary>
public static unsafe class RopeKernel
{
    /// <summary>
    /// y (rows, heads, headDim) (+)= x turned by its row's angles; y may equal x. Row r reads table row
    /// positions[r], or r % period when positions is null. <paramref name="inverse"/> turns back: the gradient.
    /// </summary>
    public static void Apply(
        float* x, float* y, int rows, int heads, int headDim, float* cos, float* sin, int* positions, int period,
        bool inverse, bool accumulate = false)
    {
        var body = new Body
        {
            X = x,
            Y = y,
            RowCount = rows,
            Heads = heads,
            HeadDim = headDim,
            Cos = cos,
            Sin = sin,
            Positions = positions,
            Period = Math.Max(1, period),
            Sign = inverse ? -1f : 1f,
            Accumulate = accumulate,
        };
        FloatsLoop.Run(body, Split.Items(rows, Split.Rows(heads * headDim)));
    }

    private struct Body : IFloatsBody
    {
        public float* X, Y, Cos, Sin;
        public int* Positions;
        public int RowCount, Heads, HeadDim, Period;
        public float Sign;
        public bool Accumulate;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            // Half a head that leaves a wide register partly empty goes faster in narrow ones.
            if (HeadDim / 2 % T.Width == 0)
                Rows<T>(item);
            else
                Rows<FloatsAny>(item);
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private readonly void Rows<T>(int item)
            where T : struct, IFloats<T>
        {
            var perItem = Split.Rows(Heads * HeadDim);
            var first = item * perItem;
            var end = Math.Min(RowCount, first + perItem);
            var half = HeadDim / 2;
            for (var r = first; r < end; r++)
            {
                var position = (long)(Positions == null ? r % Period : Positions[r]) * half;
                float* cos = Cos + position, sin = Sin + position;
                for (var h = 0; h < Heads; h++)
                {
                    var at = ((long)r * Heads + h) * HeadDim;
                    var j = 0;
                    for (; j <= half - T.Width; j += T.Width)
                        Turn<T>(X + at + j, Y + at + j, cos + j, sin + j, half, T.Width);
                    if (j < half)
                        Turn<T>(X + at + j, Y + at + j, cos + j, sin + j, half, half - j);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Turn<T>(float* x, float* y, float* cos, float* sin, int half, int lanes)
            where T : struct, IFloats<T>
        {
            T a = T.Load(x, lanes), b = T.Load(x + half, lanes);
            T c = T.Load(cos, lanes), s = T.Load(sin, lanes) * T.Of(Sign);
            Vectors.Put(a * c - b * s, y, lanes, Accumulate);
            Vectors.Put(b * c + a * s, y + half, lanes, Accumulate);
        }
    }
}
