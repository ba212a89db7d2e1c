using System.Numerics;
using static CudaLora.Kernels.Simd.VectorMath;

namespace CudaLora.Kernels.Simd;

/// <summary>Uniform and normal draws from Philox; the same values for any thread count.</summary>
public static unsafe class RandomFill
{
    /// <summary>y[i] uniform in [low, high).</summary>
    public static void Uniform(float* y, long n, float low, float high, ulong seed, ulong stream)
    {
        var body = new Body { Y = y, N = n, A = high - low, B = low, Seed = seed, Stream = stream };
        Workers.Run(ref body, Split.Items(n, Split.Grain));
    }

    /// <summary>y[i] normal with the given mean and deviation (Box-Muller).</summary>
    /// <remarks>
    /// Of each 32 words, the first 16 give radii and the last 16 angles: elements j and j + 16 are one pair.
    /// </remarks>
    public static void Normal(float* y, long n, float mean, float deviation, ulong seed, ulong stream)
    {
        var body = new Body { Y = y, N = n, A = deviation, B = mean, Seed = seed, Stream = stream, IsNormal = true };
        Workers.Run(ref body, Split.Items(n, Split.Grain));
    }

    private struct Body : IParallelBody
    {
        public float* Y;
        public long N;
        public float A, B;
        public ulong Seed, Stream;
        public bool IsNormal;

        public readonly void Execute(int item)
        {
            var words = stackalloc uint[Philox.Batch];
            var values = stackalloc float[Philox.Batch];
            var end = Math.Min(N, ((long)item + 1) * Split.Grain);
            for (var i = (long)item * Split.Grain; i < end; i += Philox.Batch)
            {
                Philox.Words((ulong)i, Stream, Seed, words);
                var whole = end - i >= Philox.Batch;
                var to = whole ? Y + i : values;
                if (IsNormal)
                    BoxMuller(words, to);
                else
                    Units(words, to);
                if (!whole)
                    new Span<float>(values, (int)(end - i)).CopyTo(new Span<float>(Y + i, (int)(end - i)));
            }
        }

        private readonly void Units(uint* words, float* to)
        {
            for (var j = 0; j < Philox.Batch; j += Vectors.Width)
                Fma(Philox.Unit(Vector.Load(words + j)), Of(A), Of(B)).Store(to + j);
        }

        private readonly void BoxMuller(uint* words, float* to)
        {
            const int half = Philox.Batch / 2;
            for (var j = 0; j < half; j += Vectors.Width)
            {
                // 1 - u lies in (0, 1], so the logarithm is finite.
                var u = Vector<float>.One - Philox.Unit(Vector.Load(words + j));
                var radius = Vector.SquareRoot(Of(-2f) * Log(u)) * Of(A);
                SinCosTurns(Philox.Unit(Vector.Load(words + half + j)), out var sin, out var cos);
                Fma(radius, cos, Of(B)).Store(to + j);
                Fma(radius, sin, Of(B)).Store(to + half + j);
            }
        }
    }
}
