using System.Numerics;
using System.Runtime.CompilerServices;
using static CudaLora.Kernels.Simd.VectorMath;

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
        Workers.Run(ref body, Split.Items(rows, Split.Rows(cols)));
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
        Workers.Run(ref body, Split.Items(rows, Split.Rows(cols)));
    }

    private struct ForwardBody : IParallelBody
    {
        public float* X, W, B, Y, Mean, Rstd;
        public float Eps;
        public int Rows, Cols;

        public readonly void Execute(int item)
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
            {
                var x = X + (long)r * Cols;
                var mean = (float)(Vectors.Sum(x, Cols) / Cols);
                var rstd = (float)(1.0 / Math.Sqrt(CentredSquares(x, mean) / Cols + Eps));
                Mean[r] = mean;
                Rstd[r] = rstd;
                Row(x, Y + (long)r * Cols, Of(mean), Of(rstd));
            }
        }

        private readonly void Row(float* x, float* y, Vector<float> mean, Vector<float> rstd)
        {
            var c = 0;
            for (; c <= Cols - Vectors.Width; c += Vectors.Width)
                Write(x + c, y + c, c, Vectors.Width, mean, rstd);
            if (c < Cols)
                Write(x + c, y + c, c, Cols - c, mean, rstd);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Write(float* x, float* y, int c, int lanes, Vector<float> mean, Vector<float> rstd)
        {
            var h = (Vectors.Load(x, lanes) - mean) * rstd;
            var shift = B == null ? Vector<float>.Zero : Vectors.Load(B + c, lanes);
            Vectors.Store(Fma(h, Vectors.Load(W + c, lanes), shift), y, lanes);
        }

        // Two passes: the difference of large squares would lose the variance of a row far from zero.
        private readonly double CentredSquares(float* x, float mean)
        {
            var sum = Vector<float>.Zero;
            var c = 0;
            for (; c <= Cols - Vectors.Width; c += Vectors.Width)
            {
                var d = Vector.Load(x + c) - Of(mean);
                sum = Fma(d, d, sum);
            }
            double rest = Vector.Sum(sum);
            for (; c < Cols; c++)
                rest += (double)(x[c] - mean) * (x[c] - mean);
            return rest;
        }
    }

    private struct BackwardBody : IParallelBody
    {
        public float* X, W, Mean, Rstd, Dy, Dx;
        public int Rows, Cols;
        public bool Accumulate;

        public readonly void Execute(int item)
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
                Row((long)r * Cols, Of(Mean[r]), Of(Rstd[r]));
        }

        private readonly void Row(long at, Vector<float> mean, Vector<float> rstd)
        {
            float* x = X + at, dy = Dy + at, dx = Dx + at;
            Vector<float> sumG = default, sumGh = default;
            var c = 0;
            for (; c <= Cols - Vectors.Width; c += Vectors.Width)
                Add(x + c, dy + c, c, Vectors.Width, mean, rstd, ref sumG, ref sumGh);
            if (c < Cols)
                Add(x + c, dy + c, c, Cols - c, mean, rstd, ref sumG, ref sumGh);
            var meanG = Of(Vector.Sum(sumG) / Cols);
            var along = Of(Vector.Sum(sumGh) / Cols) * rstd;
            for (c = 0; c <= Cols - Vectors.Width; c += Vectors.Width)
                Write(x + c, dy + c, dx + c, c, Vectors.Width, mean, rstd, meanG, along);
            if (c < Cols)
                Write(x + c, dy + c, dx + c, c, Cols - c, mean, rstd, meanG, along);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Add(
            float* x, float* dy, int c, int lanes, Vector<float> mean, Vector<float> rstd,
            ref Vector<float> sumG, ref Vector<float> sumGh)
        {
            // Lanes past the end have w = 0, so g = 0 there.
            var g = Vectors.Load(W + c, lanes) * Vectors.Load(dy, lanes);
            sumG += g;
            sumGh = Fma(g, (Vectors.Load(x, lanes) - mean) * rstd, sumGh);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Write(
            float* x, float* dy, float* dx, int c, int lanes, Vector<float> mean, Vector<float> rstd,
            Vector<float> meanG, Vector<float> along)
        {
            var g = Vectors.Load(W + c, lanes) * Vectors.Load(dy, lanes);
            Vectors.Put((g - meanG - (Vectors.Load(x, lanes) - mean) * along) * rstd, dx, lanes, Accumulate);
        }
    }

    private struct WeightTerm : IColumnTerm
    {
        public float* X, Dy, Mean, Rstd;
        public int Cols;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly Vector<float> At(long row, int col, int lanes)
        {
            var at = row * Cols + col;
            var h = (Vectors.Load(X + at, lanes) - Of(Mean[row])) * Of(Rstd[row]);
            return h * Vectors.Load(Dy + at, lanes);
        }
    }
}
