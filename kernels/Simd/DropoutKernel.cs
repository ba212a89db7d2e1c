using System.Numerics;
using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// Inverted dropout (Srivastava et al. 2014): y = x / (1 - p) where kept, else 0. The mask is never stored: element i
/// is dropped when Philox word i is below p * 2^32, so the backward pass is the same call on the gradient.
/// </summary>
public static unsafe class DropoutKernel
{
    /// <summary>y (+)= mask(x) / (1 - p); y may equal x. p in [0, 1].</summary>
    public static void Apply(float* x, float* y, long n, float p, ulong seed, ulong stream, bool accumulate = false)
    {
        var body = new Body
        {
            X = x,
            Y = y,
            N = n,
            Seed = seed,
            Stream = stream,
            Accumulate = accumulate,
            Threshold = Threshold(p),
            Scale = p < 1f ? 1f / (1f - p) : 0f,
        };
        Workers.Run(ref body, Split.Items(n, Split.Grain));
    }

    /// <summary>The first word that is kept.</summary>
    internal static uint Threshold(float p) => (uint)Math.Min(uint.MaxValue, Math.Max(0.0, p * 4294967296.0));

    private struct Body : IParallelBody
    {
        public float* X, Y;
        public long N;
        public ulong Seed, Stream;
        public uint Threshold;
        public float Scale;
        public bool Accumulate;

        public readonly void Execute(int item)
        {
            var words = stackalloc uint[Philox.Batch];
            var threshold = new Vector<uint>(Threshold);
            var scale = new Vector<float>(Scale);
            var end = Math.Min(N, ((long)item + 1) * Split.Grain);
            for (var i = (long)item * Split.Grain; i < end; i += Philox.Batch)
            {
                Philox.Words((ulong)i, Stream, Seed, words);
                var n = (int)Math.Min(Philox.Batch, end - i);
                var j = 0;
                for (; j <= n - Vectors.Width; j += Vectors.Width)
                    Mask(i + j, words + j, Vectors.Width, threshold, scale);
                if (j < n)
                    Mask(i + j, words + j, n - j, threshold, scale);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Mask(long i, uint* words, int lanes, Vector<uint> threshold, Vector<float> scale)
        {
            var keep = Vector.AsVectorSingle(Vector.GreaterThanOrEqual(Vector.Load(words), threshold));
            var y = new FloatsAny(Vector.BitwiseAnd(FloatsAny.Load(X + i, lanes).Value * scale, keep));
            Vectors.Put(y, Y + i, lanes, Accumulate);
        }
    }
}
