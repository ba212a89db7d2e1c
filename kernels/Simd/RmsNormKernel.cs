using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>RMSNorm (Zhang and Sennrich 2019): y = w x / sqrt(mean(x^2) + eps), per row of <c>cols</c>.</summary>
public static unsafe class RmsNormKernel
{
    /// <summary>Writes y (rows, cols) and rstd (rows); w (cols). rstd may be null; y may equal x.</summary>
    public static void Forward(float* x, float* w, float eps, float* y, float* rstd, int rows, int cols)
    {
        var body = new ForwardBody { X = x, W = w, Eps = eps, Y = y, Rstd = rstd, Rows = rows, Cols = cols };
        FloatsLoop.Run(body, Split.Items(rows, Split.Rows(cols)));
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
        FloatsLoop.Run(body, Split.Items(rows, Split.Rows(cols)));
    }

    private struct ForwardBody : IFloatsBody
    {
        public float* X, W, Y, Rstd;
        public float Eps;
        public int Rows, Cols;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
            {
                float* x = X + (long)r * Cols, y = Y + (long)r * Cols;
                var rstd = (float)(1.0 / Math.Sqrt(Vectors.Dot<T>(x, x, Cols) / Cols + Eps));
                if (Rstd != null)
                    Rstd[r] = rstd;
                Map.Row<ScaledProduct, T>(new ScaledProduct { Scale = rstd }, x, W, y, Cols, false);
            }
        }
    }

    private struct ScaledProduct : IMap2
    {
        public float Scale;

        public readonly T Apply<T>(T a, T b)
            where T : struct, IFloats<T> => a * T.Of(Scale) * b;
    }

    private struct BackwardBody : IFloatsBody
    {
        public float* X, W, Rstd, Dy, Dx;
        public int Rows, Cols;
        public bool Accumulate;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
                Row<T>((long)r * Cols, Rstd[r]);
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private readonly void Row<T>(long at, float rstd)
            where T : struct, IFloats<T>
        {
            float* x = X + at, dy = Dy + at, dx = Dx + at;
            T even = default, odd = default;
            var c = 0;
            for (; c <= Cols - 2 * T.Width; c += 2 * T.Width)
            {
                even = Add(x, dy, c, T.Width, even);
                odd = Add(x, dy, c + T.Width, T.Width, odd);
            }
            for (; c < Cols; c += T.Width)
                even = Add(x, dy, c, Math.Min(T.Width, Cols - c), even);
            var along = T.Of(-(T.Sum(even + odd) * rstd * rstd / Cols) * rstd);
            var scale = T.Of(rstd);
            for (c = 0; c <= Cols - T.Width; c += T.Width)
                Write(x + c, W + c, dy + c, dx + c, T.Width, scale, along);
            if (c < Cols)
                Write(x + c, W + c, dy + c, dx + c, Cols - c, scale, along);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly T Add<T>(float* x, float* dy, int c, int lanes, T sum)
            where T : struct, IFloats<T> =>
            T.Fma(T.Load(W + c, lanes) * T.Load(dy + c, lanes), T.Load(x + c, lanes), sum);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Write<T>(
            float* x, float* w, float* dy, float* dx, int lanes, T scale, T along)
            where T : struct, IFloats<T>
        {
            var direct = T.Load(w, lanes) * T.Load(dy, lanes) * scale;
            Vectors.Put(T.Fma(T.Load(x, lanes), along, direct), dx, lanes, Accumulate);
        }
    }

    private struct WeightTerm : IColumnTerm
    {
        public float* X, Dy, Rstd;
        public int Cols;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly T At<T>(long row, int col, int lanes)
            where T : struct, IFloats<T>
        {
            var at = row * Cols + col;
            return T.Load(X + at, lanes) * T.Load(Dy + at, lanes) * T.Of(Rstd[row]);
        }
    }
}
