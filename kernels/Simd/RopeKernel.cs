using System.Numerics;
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
            Rows = rows,
            Heads = heads,
            HeadDim = headDim,
            Cos = cos,
            Sin = sin,
            Positions = positions,
            Period = Math.Max(1, period),
            Sign = inverse ? -1f : 1f,
            Accumulate = accumulate,
        };
        Workers.Run(ref body, Split.Items(rows, Split.Rows(heads * headDim)));
    }

    private struct Body : IParallelBody
    {
        public float* X, Y, Cos, Sin;
        public int* Positions;
        public int Rows, Heads, HeadDim, Period;
        public float Sign;
        public bool Accumulate;

        public readonly void Execute(int item)
        {
            var perItem = Split.Rows(Heads * HeadDim);
            var first = item * perItem;
            var end = Math.Min(Rows, first + perItem);
            var half = HeadDim / 2;
            for (var r = first; r < end; r++)
            {
                var position = (long)(Positions == null ? r % Period : Positions[r]) * half;
                float* cos = Cos + position, sin = Sin + position;
                for (var h = 0; h < Heads; h++)
                {
                    var at = ((long)r * Heads + h) * HeadDim;
                    var j = 0;
                    for (; j <= half - Vectors.Width; j += Vectors.Width)
                        Turn(X + at + j, Y + at + j, cos + j, sin + j, half, Vectors.Width);
                    if (j < half)
                        Turn(X + at + j, Y + at + j, cos + j, sin + j, half, half - j);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Turn(float* x, float* y, float* cos, float* sin, int half, int lanes)
        {
            Vector<float> a = Vectors.Load(x, lanes), b = Vectors.Load(x + half, lanes);
            var c = Vectors.Load(cos, lanes);
            var s = Vectors.Load(sin, lanes) * new Vector<float>(Sign);
            Vectors.Put(a * c - b * s, y, lanes, Accumulate);
            Vectors.Put(b * c + a * s, y + half, lanes, Accumulate);
        }
    }
}
