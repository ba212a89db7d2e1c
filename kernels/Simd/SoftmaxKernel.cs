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

    private static void Run<TBody>(TBody body, int rows, int cols) where TBody : struct, IFloatsBody =>
        FloatsLoop.Run(body, Split.Items(rows, Split.Rows(cols)));

    private struct ForwardBody : IFloatsBody
    {
        public float* X, Y;
        public int Rows, Cols;
        public bool Log;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
                Row<T>(X + (long)r * Cols, Y + (long)r * Cols);
        }

        private readonly void Row<T>(float* x, float* y)
            where T : struct, IFloats<T>
        {
            if (!Log)
            {
                RowStatistics.Exponentials<T>(x, y, Cols, 1f, out _, out _);
                return;
            }
            var shift = T.Of(RowStatistics.LogSumExp<T>(x, Cols));
            var c = 0;
            for (; c <= Cols - T.Width; c += T.Width)
                (T.Load(x + c) - shift).Store(y + c);
            if (c < Cols)
                (T.Load(x + c, Cols - c) - shift).Store(y + c, Cols - c);
        }
    }

    private struct BackwardBody : IFloatsBody
    {
        public float* Y, Dy, Dx;
        public int Rows, Cols;
        public bool Log, Accumulate;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
                Row<T>(Y + (long)r * Cols, Dy + (long)r * Cols, Dx + (long)r * Cols);
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private readonly void Row<T>(float* y, float* dy, float* dx)
            where T : struct, IFloats<T>
        {
            var sum = T.Of((float)(Log ? Vectors.Sum<T>(dy, Cols) : Vectors.Dot<T>(y, dy, Cols)));
            var c = 0;
            for (; c <= Cols - T.Width; c += T.Width)
                Write(y + c, dy + c, dx + c, T.Width, sum);
            if (c < Cols)
                Write(y + c, dy + c, dx + c, Cols - c, sum);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Write<T>(float* y, float* dy, float* dx, int lanes, T sum)
            where T : struct, IFloats<T>
        {
            T v = T.Load(y, lanes), g = T.Load(dy, lanes);
            Vectors.Put(Log ? g - Exp(v) * sum : v * (g - sum), dx, lanes, Accumulate);
        }
    }
}
