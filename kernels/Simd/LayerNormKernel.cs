using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>LayerNorm (Ba et al. 2016): y = w (x - mean) rstd + b, per row of <c>cols</c>, biased variance.</summary>
public static unsafe class LayerNormKernel
{
    /// <summary>Writes y (rows, cols), mean and rstd (rows); w and b (cols), b may be null. y may equal x.</summary>
    public static void Forward(
        float* x, float* w, float* b, float eps, float* y, float* mean, float* rstd, int rows, int cols)
    {
        var body = new ForwardBody
        {
            X = x,
            W = w,
            B = b,
            Eps = eps,
            Y = y,
            Mean = mean,
            Rstd = rstd,
            Rows = rows,
            Cols = cols,
        };
        FloatsLoop.Run(body, Split.Items(rows, Split.Rows(cols)));
    }

    /// <summary>
    /// With h = (x - mean) rstd and g = w dy: dx (+)= rstd (g - mean(g) - h mean(g h)), dw (+)= sum dy h,
    /// db (+)= sum dy. Each may be null; dx may equal dy only when dw and db are null.
    /// </summary>
    public static void Backward(
        float* x, float* w, float* mean, float* rstd, float* dy, int rows, int cols,
        float* dx, bool accumulateX, float* dw, bool accumulateW, float* db, bool accumulateB)
    {
        if (dw != null)
        {
            var term = new WeightTerm { X = x, Dy = dy, Mean = mean, Rstd = rstd, Cols = cols };
            ColumnSum.Run(term, 1, rows, cols, 1f, dw, accumulateW);
        }
        if (db != null)
            SumKernel.Axis(dy, 1, rows, cols, 1f, db, accumulateB);
        if (dx == null)
            return;
        var body = new BackwardBody
        {
            X = x,
            W = w,
            Mean = mean,
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
        public float* X, W, B, Y, Mean, Rstd;
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
                var x = X + (long)r * Cols;
                var mean = (float)(Vectors.Sum<T>(x, Cols) / Cols);
                var rstd = (float)(1.0 / Math.Sqrt(CentredSquares<T>(x, mean) / Cols + Eps));
                Mean[r] = mean;
                Rstd[r] = rstd;
                Row(x, Y + (long)r * Cols, T.Of(mean), T.Of(rstd));
            }
        }

        private readonly void Row<T>(float* x, float* y, T mean, T rstd)
            where T : struct, IFloats<T>
        {
            var c = 0;
            for (; c <= Cols - T.Width; c += T.Width)
                Write(x + c, y + c, c, T.Width, mean, rstd);
            if (c < Cols)
                Write(x + c, y + c, c, Cols - c, mean, rstd);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Write<T>(float* x, float* y, int c, int lanes, T mean, T rstd)
            where T : struct, IFloats<T>
        {
            var h = (T.Load(x, lanes) - mean) * rstd;
            var shift = B == null ? T.Of(0f) : T.Load(B + c, lanes);
            T.Fma(h, T.Load(W + c, lanes), shift).Store(y, lanes);
        }

        // Two passes: the difference of large squares would lose the variance of a row far from zero.
        private readonly double CentredSquares<T>(float* x, float mean)
            where T : struct, IFloats<T>
        {
            T s0 = default, s1 = default, s2 = default, s3 = default;
            var centre = T.Of(mean);
            var c = 0;
            for (; c <= Cols - 4 * T.Width; c += 4 * T.Width)
            {
                s0 = AddSquare(T.Load(x + c) - centre, s0);
                s1 = AddSquare(T.Load(x + c + T.Width) - centre, s1);
                s2 = AddSquare(T.Load(x + c + 2 * T.Width) - centre, s2);
                s3 = AddSquare(T.Load(x + c + 3 * T.Width) - centre, s3);
            }
            for (; c <= Cols - T.Width; c += T.Width)
                s0 = AddSquare(T.Load(x + c) - centre, s0);
            double rest = T.Sum((s0 + s1) + (s2 + s3));
            for (; c < Cols; c++)
                rest += (double)(x[c] - mean) * (x[c] - mean);
            return rest;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static T AddSquare<T>(T d, T sum)
            where T : struct, IFloats<T> => T.Fma(d, d, sum);
    }

    private struct BackwardBody : IFloatsBody
    {
        public float* X, W, Mean, Rstd, Dy, Dx;
        public int Rows, Cols;
        public bool Accumulate;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
                Row((long)r * Cols, T.Of(Mean[r]), T.Of(Rstd[r]));
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private readonly void Row<T>(long at, T mean, T rstd)
            where T : struct, IFloats<T>
        {
            float* x = X + at, dy = Dy + at, dx = Dx + at;
            T sumG = default, sumGh = default;
            var c = 0;
            for (; c <= Cols - T.Width; c += T.Width)
                Add(x + c, dy + c, c, T.Width, mean, rstd, ref sumG, ref sumGh);
            if (c < Cols)
                Add(x + c, dy + c, c, Cols - c, mean, rstd, ref sumG, ref sumGh);
            var meanG = T.Of(T.Sum(sumG) / Cols);
            var along = T.Of(T.Sum(sumGh) / Cols) * rstd;
            for (c = 0; c <= Cols - T.Width; c += T.Width)
                Write(x + c, dy + c, dx + c, c, T.Width, mean, rstd, meanG, along);
            if (c < Cols)
                Write(x + c, dy + c, dx + c, c, Cols - c, mean, rstd, meanG, along);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Add<T>(
            float* x, float* dy, int c, int lanes, T mean, T rstd, ref T sumG, ref T sumGh)
            where T : struct, IFloats<T>
        {
            // Lanes past the end have w = 0, so g = 0 there.
            var g = T.Load(W + c, lanes) * T.Load(dy, lanes);
            sumG += g;
            sumGh = T.Fma(g, (T.Load(x, lanes) - mean) * rstd, sumGh);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Write<T>(
            float* x, float* dy, float* dx, int c, int lanes, T mean, T rstd, T meanG, T along)
            where T : struct, IFloats<T>
        {
            var g = T.Load(W + c, lanes) * T.Load(dy, lanes);
            Vectors.Put((g - meanG - (T.Load(x, lanes) - mean) * along) * rstd, dx, lanes, Accumulate);
        }
    }

    private struct WeightTerm : IColumnTerm
    {
        public float* X, Dy, Mean, Rstd;
        public int Cols;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly T At<T>(long row, int col, int lanes)
            where T : struct, IFloats<T>
        {
            var at = row * Cols + col;
            var h = (T.Load(X + at, lanes) - T.Of(Mean[row])) * T.Of(Rstd[row]);
            return h * T.Load(Dy + at, lanes);
        }
    }
}
