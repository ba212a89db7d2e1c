using System.Numerics;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// Inverted dropout (Srivastava et al. 2014): y = x / (1 - p) where kept, else 0. The mask is never stored: element i is
/// dropped when Philox word i is below p * 2^32, so the backward pass is the same call on the gradient.
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
                for (var j = 0; j < Philox.Batch && i + j < end; j += Vectors.Width)
                {
                    var lanes = (int)Math.Min(Vectors.Width, end - i - j);
                    var keep = Vector.AsVectorSingle(Vector.GreaterThanOrEqual(Vector.Load(words + j), threshold));
                    var kept = Vector.BitwiseAnd(Vectors.Load(X + i + j, lanes) * scale, keep);
                    Vectors.Put(kept, Y + i + j, lanes, Accumulate);
                }
            }
        }
    }
}
