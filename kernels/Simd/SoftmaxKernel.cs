using System.Numerics;
using System.Runtime.CompilerServices;
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
        Run(new BackwardBody { Y = y, Dy = dy, Dx = dx, Rows = rows, Cols = cols, Accumulate = accumulate },
            rows, cols);

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
            if (!Log)
            {
                RowStatistics.Exponentials(x, y, Cols, 1f, out _, out _);
                return;
            }
            var shift = Of(RowStatistics.LogSumExp(x, Cols));
            var c = 0;
            for (; c <= Cols - Vectors.Width; c += Vectors.Width)
                (Vector.Load(x + c) - shift).Store(y + c);
            if (c < Cols)
                Vectors.Store(Vectors.Load(x + c, Cols - c) - shift, y + c, Cols - c);
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
            var c = 0;
            for (; c <= Cols - Vectors.Width; c += Vectors.Width)
                Write(y + c, dy + c, dx + c, Vectors.Width, sum);
            if (c < Cols)
                Write(y + c, dy + c, dx + c, Cols - c, sum);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Write(float* y, float* dy, float* dx, int lanes, Vector<float> sum)
        {
            Vector<float> v = Vectors.Load(y, lanes), g = Vectors.Load(dy, lanes);
            Vectors.Put(Log ? g - Exp(v) * sum : v * (g - sum), dx, lanes, Accumulate);
        }
    }
}
