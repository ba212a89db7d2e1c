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

    /// <summary>
    /// Rows of <paramref name="width"/> floats that are zero but for the rows of <paramref name="from"/>, which begin
    /// at column <paramref name="start"/>: the gradient of a slice. Every element of <paramref name="to"/> is written
    /// once.
    /// </summary>
    public static void Pad(float* from, int length, float* to, long width, long start, int rows)
    {
        var pieces = Split.Items(width, Split.Grain);
        var body = new PadBody
        {
            From = from,
            Length = length,
            To = to,
            Width = width,
            Start = start,
            Rows = rows,
            Pieces = pieces,
            RowsPerItem = pieces > 1 ? 1 : Split.Rows((int)width),
        };
        Workers.Run(ref body, checked(Split.Items(rows, body.RowsPerItem) * pieces));
    }

    /// <summary>
    /// Joins rows: to[i width ..], width the sum of all lengths, = row i of the first part, then of the next. Written
    /// from front to back, which memory takes faster than every part's places in turn.
    /// </summary>
    /// <param name="parts">Contiguous rows each; not empty.</param>
    /// <param name="to">The joined rows.</param>
    /// <param name="rows">Rows of each part.</param>
    public static void Join(ReadOnlySpan<RowPart> parts, float* to, int rows)
    {
        long width = 0;
        foreach (var part in parts)
            width += part.Length;
        fixed (RowPart* first = parts)
        {
            var perItem = Split.Rows(checked((int)width));
            var body = new JoinBody
            {
                Parts = first,
                PartCount = parts.Length,
                To = to,
                Width = width,
                Rows = rows,
                RowsPerItem = perItem,
            };
            Workers.Run(ref body, Split.Items(rows, perItem));
        }
    }

    private struct JoinBody : IParallelBody
    {
        public RowPart* Parts;
        public float* To;
        public long Width;
        public int PartCount, Rows, RowsPerItem;

        public readonly void Execute(int item)
        {
            var first = item * RowsPerItem;
            var end = Math.Min(Rows, first + RowsPerItem);
            var to = To + first * Width;
            for (var row = first; row < end; row++)
            {
                for (var i = 0; i < PartCount; i++)
                {
                    var length = Parts[i].Length;
                    Vectors.Copy(Parts[i].From + (long)row * length, to, length, false);
                    to += length;
                }
            }
        }
    }

    private struct PadBody : IParallelBody
    {
        public float* From, To;
        public long Width, Start;
        public int Length, Rows, Pieces, RowsPerItem;

        public readonly void Execute(int item)
        {
            // The columns of this piece, and which of them are copied.
            var left = item % Pieces * (long)Split.Grain;
            var right = Pieces == 1 ? Width : Math.Min(Width, left + Split.Grain);
            long begin = Math.Clamp(Start, left, right), stop = Math.Clamp(Start + Length, begin, right);
            var first = item / Pieces * RowsPerItem;
            var end = Math.Min(Rows, first + RowsPerItem);
            for (var r = first; r < end; r++)
            {
                var row = To + r * Width;
                new Span<float>(row + left, (int)(begin - left)).Clear();
                Vectors.Copy(From + (long)r * Length + begin - Start, row + begin, (int)(stop - begin), false);
                new Span<float>(row + stop, (int)(right - stop)).Clear();
            }
        }
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

/// <summary>Contiguous rows that become part of wider ones.</summary>
/// <param name="from">The first row.</param>
/// <param name="length">Elements per row.</param>
public readonly unsafe struct RowPart(float* from, int length)
{
    /// <summary>The first row.</summary>
    public float* From { get; } = from;

    /// <summary>Elements per row.</summary>
    public int Length { get; } = length;
}
