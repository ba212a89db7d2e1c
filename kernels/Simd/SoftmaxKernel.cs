using System.Numerics;
using static CudaLora.Kernels.Simd.VectorMath;

namespace CudaLora.Kernels.Simd;

/// <summary>Softmax and log-softmax over the last dimension of (rows, cols).</summary>
public static unsafe class SoftmaxKernel
{
    /// <summary>y = e^x / sum(e^x) per row; y may equal x.</summary>
    public static void Forward(float* x, float* y, int rows, int cols) =>
        Run(new ForwardBody { X = x, Y = y, Rows = rows, Cols = cols }, rows, cols);

    /// <summary>dx (+)= y (dy - sum(dy y)); dx may equal dy.</summary>
    public static void Backward(float* y, float* dy, float* dx, int rows, int cols, bool accumulate = false) =>
        Run(new BackwardBody { Y = y, Dy = dy, Dx = dx, Rows = rows, Cols = cols, Accumulate = accumulate }, rows, cols);

    /// <summary>y = x - log(sum(e^x)) per row; y may equal x.</summary>
    public static void LogForward(float* x, float* y, int rows, int cols) =>
        Run(new ForwardBody { X = x, Y = y, Rows = rows, Cols = cols, Log = true }, rows, cols);

    /// <summary>dx (+)= dy - e^y sum(dy), y the log-softmax; dx may equal dy.</summary>
    public static void LogBackward(float* y, float* dy, float* dx, int rows, int cols, bool accumulate = false) =>
        Run(new BackwardBody { Y = y, Dy = dy, Dx = dx, Rows = rows, Cols = cols, Accumulate = accumulate, Log = true },
            rows, cols);

    private static void Run<TBody>(TBody body, int rows, int cols) where TBody : struct, IParallelBody =>
        Workers.Run(ref body, Split.Items(rows, Split.Rows(cols)));

    private struct ForwardBody : IParallelBody
    {
        public float* X, Y;
        public int Rows, Cols;
        public bool Log;

        public readonly void Execute(int item)
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
                Row(X + (long)r * Cols, Y + (long)r * Cols);
        }

        private readonly void Row(float* x, float* y)
        {
            RowStatistics.MaxAndSum(x, Cols, out var max, out var sum);
            var shift = Of(Log ? (float)(max + Math.Log(sum)) : max);
            var scale = Of((float)(1 / sum));
            for (var c = 0; c < Cols; c += Vectors.Width)
            {
                var lanes = Math.Min(Vectors.Width, Cols - c);
                var v = Vectors.Load(x + c, lanes) - shift;
                Vectors.Store(Log ? v : Exp(v) * scale, y + c, lanes);
            }
        }
    }

    private struct BackwardBody : IParallelBody
    {
        public float* Y, Dy, Dx;
        public int Rows, Cols;
        public bool Log, Accumulate;

        public readonly void Execute(int item)
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
                Row(Y + (long)r * Cols, Dy + (long)r * Cols, Dx + (long)r * Cols);
        }

        private readonly void Row(float* y, float* dy, float* dx)
        {
            var sum = Of((float)(Log ? Vectors.Sum(dy, Cols) : Vectors.Dot(y, dy, Cols)));
            for (var c = 0; c < Cols; c += Vectors.Width)
            {
                var lanes = Math.Min(Vectors.Width, Cols - c);
                Vector<float> vy = Vectors.Load(y + c, lanes), g = Vectors.Load(dy + c, lanes);
                Vectors.Put(Log ? g - Exp(vy) * sum : vy * (g - sum), dx + c, lanes, Accumulate);
            }
        }
    }
}
