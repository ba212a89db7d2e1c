namespace CudaLora.Kernels.Simd;

/// <summary>Copies equally spaced blocks: slices and concatenations along any axis.</summary>
public static unsafe class BlockCopyKernel
{
    /// <summary>
    /// For each i below blocks: to[i toStride ..] (+)= from[i fromStride .. + length]. Strides and length in elements.
    /// </summary>
    public static void Run(
        float* from, long fromStride, float* to, long toStride, int blocks, int length, bool accumulate = false)
    {
        var pieces = Split.Items(length, Split.Grain);
        var body = new Body
        {
            From = from,
            FromStride = fromStride,
            To = to,
            ToStride = toStride,
            Blocks = blocks,
            Length = length,
            Pieces = pieces,
            BlocksPerItem = pieces > 1 ? 1 : Split.Rows(length),
            Accumulate = accumulate,
        };
        Workers.Run(ref body, checked(Split.Items(blocks, body.BlocksPerItem) * pieces));
    }

    private struct Body : IParallelBody
    {
        public float* From, To;
        public long FromStride, ToStride;
        public int Blocks, Length, Pieces, BlocksPerItem;
        public bool Accumulate;

        public readonly void Execute(int item)
        {
            var start = item % Pieces * Split.Grain;
            var n = Pieces == 1 ? Length : Math.Min(Split.Grain, Length - start);
            var first = item / Pieces * BlocksPerItem;
            var end = Math.Min(Blocks, first + BlocksPerItem);
            for (var i = first; i < end; i++)
                Vectors.Copy(From + i * FromStride + start, To + i * ToStride + start, n, Accumulate);
        }
    }
}
