using System.Numerics;
using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>What a column sum adds up: one register of row <c>row</c> from column <c>col</c> on.</summary>
internal interface IColumnTerm
{
    Vector<float> At(long row, int col, int lanes);
}

/// <summary>
/// y[o, c] (+)= scale * sum over r of term(o * rows + r, c): bias and norm-weight gradients, sums over an axis.
/// Rows are cut into chunks whose size depends on the row count alone; chunk sums are added in order.
/// </summary>
internal static unsafe class ColumnSum
{
    private const int ColumnBlock = 1024;
    private const int MaxChunks = 32;
    private const int MinChunkRows = 64;

    public static void Run<TTerm>(TTerm term, int outer, int rows, int cols, float scale, float* y, bool accumulate)
        where TTerm : struct, IColumnTerm
    {
        var chunkRows = Math.Max(MinChunkRows, Split.Items(rows, MaxChunks));
        var chunks = Math.Max(1, Split.Items(rows, chunkRows));
        var blocks = Split.Items(cols, ColumnBlock);
        var width = Math.Min(cols, ColumnBlock);
        var body = new Body<TTerm>
        {
            Term = term,
            Rows = rows,
            Cols = cols,
            ChunkRows = chunkRows,
            Chunks = chunks,
            Blocks = blocks,
            Tiles = (long)outer * chunks * blocks,
            TilesPerItem = (int)Math.Max(1, Split.Grain / Math.Max(1, (long)Math.Min(rows, chunkRows) * width)),
            Partial = Scratch.Floats(ScratchSlot.Shared, (nint)outer * chunks * cols),
        };
        Workers.Run(ref body, Split.Items(body.Tiles, body.TilesPerItem));
        var fold = new Fold
        {
            Partial = body.Partial,
            Y = y,
            Cols = cols,
            Chunks = chunks,
            Blocks = blocks,
            Tiles = (long)outer * blocks,
            TilesPerItem = Math.Max(1, Split.Grain / Math.Max(1, chunks * width)),
            Scale = scale,
            Accumulate = accumulate,
        };
        Workers.Run(ref fold, Split.Items(fold.Tiles, fold.TilesPerItem));
    }

    private struct Body<TTerm> : IParallelBody where TTerm : struct, IColumnTerm
    {
        public TTerm Term;
        public int Rows, Cols, ChunkRows, Chunks, Blocks, TilesPerItem;
        public long Tiles;
        public float* Partial;

        public readonly void Execute(int item)
        {
            var first = (long)item * TilesPerItem;
            var end = Math.Min(Tiles, first + TilesPerItem);
            for (var tile = first; tile < end; tile++)
            {
                var col = (int)(tile % Blocks) * ColumnBlock;
                var chunk = tile / Blocks;
                var row = (int)(chunk % Chunks) * ChunkRows;
                var start = chunk / Chunks * Rows + row;
                AddRows(start, Math.Min(ChunkRows, Rows - row), col, Math.Min(ColumnBlock, Cols - col),
                    Partial + chunk * Cols + col);
            }
        }

        private readonly void AddRows(long row, int rows, int col, int cols, float* to)
        {
            new Span<float>(to, cols).Clear();
            var r = 0;
            for (; r <= rows - 4; r += 4)
            {
                var c = 0;
                for (; c <= cols - Vectors.Width; c += Vectors.Width)
                    Add4(row + r, col + c, Vectors.Width, to + c);
                if (c < cols)
                    Add4(row + r, col + c, cols - c, to + c);
            }
            for (; r < rows; r++)
            {
                var c = 0;
                for (; c <= cols - Vectors.Width; c += Vectors.Width)
                    Vectors.Put(Term.At(row + r, col + c, Vectors.Width), to + c, Vectors.Width, true);
                if (c < cols)
                    Vectors.Put(Term.At(row + r, col + c, cols - c), to + c, cols - c, true);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Add4(long row, int col, int lanes, float* to)
        {
            var low = Term.At(row, col, lanes) + Term.At(row + 1, col, lanes);
            var high = Term.At(row + 2, col, lanes) + Term.At(row + 3, col, lanes);
            Vectors.Put(low + high, to, lanes, true);
        }
    }

    private struct Fold : IParallelBody
    {
        public float* Partial, Y;
        public int Cols, Chunks, Blocks, TilesPerItem;
        public long Tiles;
        public float Scale;
        public bool Accumulate;

        public readonly void Execute(int item)
        {
            var first = (long)item * TilesPerItem;
            var end = Math.Min(Tiles, first + TilesPerItem);
            var scale = new Vector<float>(Scale);
            for (var tile = first; tile < end; tile++)
            {
                var start = (int)(tile % Blocks) * ColumnBlock;
                var o = tile / Blocks;
                var stop = Math.Min(Cols, start + ColumnBlock);
                var c = start;
                for (; c <= stop - Vectors.Width; c += Vectors.Width)
                    Add(o, c, Vectors.Width, scale);
                if (c < stop)
                    Add(o, c, stop - c, scale);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Add(long o, int c, int lanes, Vector<float> scale)
        {
            var from = Partial + o * Chunks * Cols + c;
            var sum = Vectors.Load(from, lanes);
            for (var k = 1; k < Chunks; k++)
                sum += Vectors.Load(from + (long)k * Cols, lanes);
            Vectors.Put(sum * scale, Y + o * Cols + c, lanes, Accumulate);
        }
    }

    /// <summary>The plain term: the matrix itself, rows <c>Stride</c> apart.</summary>
    public struct Plain : IColumnTerm
    {
        public float* X;
        public long Stride;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly Vector<float> At(long row, int col, int lanes) => Vectors.Load(X + row * Stride + col, lanes);
    }
}
