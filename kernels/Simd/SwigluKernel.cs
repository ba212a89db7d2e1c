using System.Runtime.CompilerServices;
using static CudaLora.Kernels.Simd.VectorMath;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// SwiGLU: y = silu(gate) up (Shazeer 2020). Rows of gate, up and their gradients are <c>stride</c> apart, so both may
/// be halves of one matrix; y and dy are dense (rows, cols). Backward recomputes the sigmoid.
/// </summary>
public static unsafe class SwigluKernel
{
    /// <summary>y = silu(gate) up.</summary>
    public static void Forward(float* gate, float* up, long stride, float* y, int rows, int cols)
    {
        var body = new ForwardBody { Gate = gate, Up = up, Stride = stride, Y = y, Rows = rows, Cols = cols };
        FloatsLoop.Run(body, Split.Items(rows, Split.Rows(cols)));
    }

    /// <summary>dgate (+)= dy up silu'(gate), dup (+)= dy silu(gate); either may be null or equal its input.</summary>
    public static void Backward(
        float* gate, float* up, long stride, float* dy, int rows, int cols,
        float* dgate, bool accumulateGate, float* dup, bool accumulateUp)
    {
        var body = new BackwardBody
        {
            Gate = gate,
            Up = up,
            Stride = stride,
            Dy = dy,
            Dgate = dgate,
            Dup = dup,
            Rows = rows,
            Cols = cols,
            AccumulateGate = accumulateGate,
            AccumulateUp = accumulateUp,
        };
        FloatsLoop.Run(body, Split.Items(rows, Split.Rows(cols)));
    }

    private struct ForwardBody : IFloatsBody
    {
        public float* Gate, Up, Y;
        public long Stride;
        public int Rows, Cols;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
                Map.Row<Product, T>(default, Gate + r * Stride, Up + r * Stride, Y + (long)r * Cols, Cols, false);
        }
    }

    private readonly struct Product : IMap2
    {
        public T Apply<T>(T gate, T up)
            where T : struct, IFloats<T> => SiluKernel.Silu(gate) * up;
    }

    private struct BackwardBody : IFloatsBody
    {
        public float* Gate, Up, Dy, Dgate, Dup;
        public long Stride;
        public int Rows, Cols;
        public bool AccumulateGate, AccumulateUp;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
            {
                var c = 0;
                for (; c <= Cols - T.Width; c += T.Width)
                    Step<T>(r * Stride + c, (long)r * Cols + c, T.Width);
                if (c < Cols)
                    Step<T>(r * Stride + c, (long)r * Cols + c, Cols - c);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Step<T>(long at, long dense, int lanes)
            where T : struct, IFloats<T>
        {
            var gate = T.Load(Gate + at, lanes);
            var up = T.Load(Up + at, lanes);
            var dy = T.Load(Dy + dense, lanes);
            var sigmoid = Sigmoid(gate);
            if (Dup != null)
                Vectors.Put(dy * gate * sigmoid, Dup + at, lanes, AccumulateUp);
            if (Dgate != null)
                Vectors.Put(dy * up * SiluKernel.Derivative(gate, sigmoid), Dgate + at, lanes, AccumulateGate);
        }
    }
}
