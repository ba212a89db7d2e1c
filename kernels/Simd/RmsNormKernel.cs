using System.Numerics;
using System.Runtime.CompilerServices;
using static CudaLora.Kernels.Simd.VectorMath;

namespace CudaLora.Kernels.Simd;

/// <summary>RMSNorm (Zhang and Sennrich 2019): y = w x / sqrt(mean(x^2) + eps), per row of <c>cols</c>.</summary>
public static unsafe class RmsNormKernel
{
    /// <summary>Writes y (rows, cols) and rstd (rows); w (cols). rstd may be null; y may equal x.</summary>
    public static void Forward(float* x, float* w, float eps, float* y, float* rstd, int rows, int cols)
    {
        var body = new ForwardBody { X = x, W = w, Eps = eps, Y = y, Rstd = rstd, Rows = rows, Cols = cols };
        Workers.Run(ref body, Split.Items(rows, Split.Rows(cols)));
    }

    /// <summary>
    /// dx (+)= rstd (w dy - x rstd^2 mean(w dy x)), dw (+)= sum over rows of dy x rstd. Either may be null; dx may
    /// equal dy only when dw is null.
    /// </summary>
    public static void Backward(
        float* x, float* w, float* rstd, float* dy, int rows, int cols,
        float* dx, bool accumulateX, float* dw, bool accumulateW)
    {
        if (dw != null)
        {
            var term = new WeightTerm { X = x, Dy = dy, Rstd = rstd, Cols = cols };
            ColumnSum.Run(term, 1, rows, cols, 1f, dw, accumulateW);
        }
        if (dx == null)
            return;
        var body = new BackwardBody
        {
            X = x,
            W = w,
            Rstd = rstd,
            Dy = dy,
            Dx = dx,
            Rows = rows,
            Cols = cols,
            Accumulate = accumulateX,
        };
        Workers.Run(ref body, Split.Items(rows, Split.Rows(cols)));
    }

    private struct ForwardBody : IParallelBody
    {
        public float* X, W, Y, Rstd;
        public float Eps;
        public int Rows, Cols;

        public readonly void Execute(int item)
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
            {
                float* x = X + (long)r * Cols, y = Y + (long)r * Cols;
                var rstd = (float)(1.0 / Math.Sqrt(Vectors.Dot(x, x, Cols) / Cols + Eps));
                if (Rstd != null)
                    Rstd[r] = rstd;
                Map.Row(new ScaledProduct { Scale = Of(rstd) }, x, W, y, Cols, false);
            }
        }
    }

    private struct ScaledProduct : IMap2
    {
        public Vector<float> Scale;

        public readonly Vector<float> Apply(Vector<float> a, Vector<float> b) => a * Scale * b;
    }

    private struct BackwardBody : IParallelBody
    {
        public float* X, W, Rstd, Dy, Dx;
        public int Rows, Cols;
        public bool Accumulate;

        public readonly void Execute(int item)
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
                Row((long)r * Cols, Rstd[r]);
        }

        private readonly void Row(long at, float rstd)
        {
            float* x = X + at, dy = Dy + at, dx = Dx + at;
            var dot = Vector<float>.Zero;
            var c = 0;
            for (; c <= Cols - Vectors.Width; c += Vectors.Width)
                dot = Fma(Vector.Load(W + c) * Vector.Load(dy + c), Vector.Load(x + c), dot);
            if (c < Cols)
                dot += Vectors.Load(W + c, Cols - c) * Vectors.Load(dy + c, Cols - c) * Vectors.Load(x + c, Cols - c);
            var along = Of(-(Vector.Sum(dot) * rstd * rstd / Cols) * rstd);
            var scale = Of(rstd);
            for (c = 0; c <= Cols - Vectors.Width; c += Vectors.Width)
                Write(x + c, W + c, dy + c, dx + c, Vectors.Width, scale, along);
            if (c < Cols)
                Write(x + c, W + c, dy + c, dx + c, Cols - c, scale, along);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Write(
            float* x, float* w, float* dy, float* dx, int lanes, Vector<float> scale, Vector<float> along)
        {
            var direct = Vectors.Load(w, lanes) * Vectors.Load(dy, lanes) * scale;
            Vectors.Put(Fma(Vectors.Load(x, lanes), along, direct), dx, lanes, Accumulate);
        }
    }

    private struct WeightTerm : IColumnTerm
    {
        public float* X, Dy, Rstd;
        public int Cols;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly Vector<float> At(long row, int col, int lanes)
        {
            var at = row * Cols + col;
            return Vectors.Load(X + at, lanes) * Vectors.Load(Dy + at, lanes) * Of(Rstd[row]);
        }
    }
}
