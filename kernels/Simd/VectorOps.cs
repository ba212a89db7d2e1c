namespace CudaLora.Kernels.Simd;

/// <summary>Fill, copy, scale and scaled addition of flat float arrays; y may equal x.</summary>
public static unsafe class VectorOps
{
    /// <summary>y = value.</summary>
    public static void Fill(float* y, float value, long n)
    {
        var body = new FillBody { Y = y, N = n, Value = value };
        Workers.Run(ref body, Split.Items(n, Split.Grain));
    }

    /// <summary>y (+)= x.</summary>
    public static void Copy(float* x, float* y, long n, bool accumulate = false) =>
        Map.Run(default(Identity), x, y, n, accumulate);

    /// <summary>y (+)= a x.</summary>
    public static void Scale(float* x, float a, float* y, long n, bool accumulate = false) =>
        Map.Run(new Times { A = a }, x, y, n, accumulate);

    /// <summary>y = a x + b y.</summary>
    public static void Axpby(float a, float* x, float b, float* y, long n) =>
        Map.Run(new Blend { A = a, B = b }, x, y, y, n, false);

    private struct FillBody : IParallelBody
    {
        public float* Y;
        public long N;
        public float Value;

        public readonly void Execute(int item)
        {
            var start = (long)item * Split.Grain;
            new Span<float>(Y + start, (int)Math.Min(Split.Grain, N - start)).Fill(Value);
        }
    }

    private readonly struct Identity : IMap1
    {
        public T Apply<T>(T x)
            where T : struct, IFloats<T> => x;
    }

    private struct Times : IMap1
    {
        public float A;

        public readonly T Apply<T>(T x)
            where T : struct, IFloats<T> => x * T.Of(A);
    }

    private struct Blend : IMap2
    {
        public float A, B;

        public readonly T Apply<T>(T x, T y)
            where T : struct, IFloats<T> => T.Fma(x, T.Of(A), y * T.Of(B));
    }
}
