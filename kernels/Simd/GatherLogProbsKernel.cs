using System.Runtime.CompilerServices;
using static CudaLora.Kernels.Simd.VectorMath;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// The log-probability of one label per row of logits (rows, cols), without storing the log-softmax. A negative label
/// gives 0 and no gradient.
/// </summary>
public static unsafe class GatherLogProbsKernel
{
    /// <summary>y[r] = logits[r, label] - lse[r]; lse (rows) receives log(sum(e^logits)).</summary>
    public static void Forward(float* logits, int* labels, float* y, float* lse, int rows, int cols)
    {
        var body = new ForwardBody { Logits = logits, Labels = labels, Y = y, Lse = lse, Rows = rows, Cols = cols };
        FloatsLoop.Run(body, Split.Items(rows, Split.Rows(cols)));
    }

    /// <summary>dlogits (+)= dy[r] (onehot(label) - softmax(logits)); dlogits may equal logits.</summary>
    public static void Backward(
        float* logits, int* labels, float* lse, float* dy, float* dlogits, int rows, int cols, bool accumulate = false)
    {
        var body = new BackwardBody
        {
            Logits = logits,
            Labels = labels,
            Lse = lse,
            Dy = dy,
            Dlogits = dlogits,
            Rows = rows,
            Cols = cols,
            Accumulate = accumulate,
        };
        FloatsLoop.Run(body, Split.Items(rows, Split.Rows(cols)));
    }

    private struct ForwardBody : IFloatsBody
    {
        public float* Logits, Y, Lse;
        public int* Labels;
        public int Rows, Cols;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
            {
                Y[r] = Lse[r] = 0f;
                if (Labels[r] < 0)
                    continue;
                var row = Logits + (long)r * Cols;
                Lse[r] = RowStatistics.LogSumExp<T>(row, Cols);
                Y[r] = row[Labels[r]] - Lse[r];
            }
        }
    }

    private struct BackwardBody : IFloatsBody
    {
        public float* Logits, Lse, Dy, Dlogits;
        public int* Labels;
        public int Rows, Cols;
        public bool Accumulate;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
            {
                var to = Dlogits + (long)r * Cols;
                if (Labels[r] >= 0)
                    Row<T>(Logits + (long)r * Cols, to, r);
                else if (!Accumulate)
                    new Span<float>(to, Cols).Clear();
            }
        }

        private readonly void Row<T>(float* x, float* to, int r)
            where T : struct, IFloats<T>
        {
            T lse = T.Of(Lse[r]), scale = T.Of(-Dy[r]);
            var c = 0;
            for (; c <= Cols - T.Width; c += T.Width)
                Vectors.Put(Exp(T.Load(x + c) - lse) * scale, to + c, T.Width, Accumulate);
            if (c < Cols)
                Vectors.Put(Exp(T.Load(x + c, Cols - c) - lse) * scale, to + c, Cols - c, Accumulate);
            to[Labels[r]] += Dy[r];
        }
    }
}
