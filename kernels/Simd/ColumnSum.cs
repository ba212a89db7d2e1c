using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>What a column sum adds up: one register of row <c>row</c> from column <c>col</c> on.</summary>
internal interface IColumnTerm
{
    T At<T>(long row, int col, int lanes)
        where T : struct, IFloats<T>;
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
        FloatsLoop.Run(body, Split.Items(body.Tiles, body.TilesPerItem));
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
        FloatsLoop.Run(fold, Split.Items(fold.Tiles, fold.TilesPerItem));
    }

    private struct Body<TTerm> : IFloatsBody where TTerm : struct, IColumnTerm
    {
        public TTerm Term;
        public int Rows, Cols, ChunkRows, Chunks, Blocks, TilesPerItem;
        public long Tiles;
        public float* Partial;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var first = (long)item * TilesPerItem;
            var end = Math.Min(Tiles, first + TilesPerItem);
            for (var tile = first; tile < end; tile++)
            {
                var col = (int)(tile % Blocks) * ColumnBlock;
                var chunk = tile / Blocks;
                var row = (int)(chunk % Chunks) * ChunkRows;
                var start = chunk / Chunks * Rows + row;
                AddRows<T>(start, Math.Min(ChunkRows, Rows - row), col, Math.Min(ColumnBlock, Cols - col),
                    Partial + chunk * Cols + col);
            }
        }

        private readonly void AddRows<T>(long row, int rows, int col, int cols, float* to)
            where T : struct, IFloats<T>
        {
            new Span<float>(to, cols).Clear();
            var r = 0;
            for (; r <= rows - 4; r += 4)
            {
                var c = 0;
                for (; c <= cols - T.Width; c += T.Width)
                    Add4<T>(row + r, col + c, T.Width, to + c);
                if (c < cols)
                    Add4<T>(row + r, col + c, cols - c, to + c);
            }
            for (; r < rows; r++)
            {
                var c = 0;
                for (; c <= cols - T.Width; c += T.Width)
                    Vectors.Put(Term.At<T>(row + r, col + c, T.Width), to + c, T.Width, true);
                if (c < cols)
                    Vectors.Put(Term.At<T>(row + r, col + c, cols - c), to + c, cols - c, true);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Add4<T>(long row, int col, int lanes, float* to)
            where T : struct, IFloats<T>
        {
            var low = Term.At<T>(row, col, lanes) + Term.At<T>(row + 1, col, lanes);
            var high = Term.At<T>(row + 2, col, lanes) + Term.At<T>(row + 3, col, lanes);
            Vectors.Put(low + high, to, lanes, true);
        }
    }

    private struct Fold : IFloatsBody
    {
        public float* Partial, Y;
        public int Cols, Chunks, Blocks, TilesPerItem;
        public long Tiles;
        public float Scale;
        public bool Accumulate;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var first = (long)item * TilesPerItem;
            var end = Math.Min(Tiles, first + TilesPerItem);
            var scale = T.Of(Scale);
            for (var tile = first; tile < end; tile++)
            {
                var start = (int)(tile % Blocks) * ColumnBlock;
                var o = tile / Blocks;
                var stop = Math.Min(Cols, start + ColumnBlock);
                var c = start;
                for (; c <= stop - T.Width; c += T.Width)
                    Add(o, c, T.Width, scale);
                if (c < stop)
                    Add(o, c, stop - c, scale);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Add<T>(long o, int c, int lanes, T scale)
            where T : struct, IFloats<T>
        {
            var from = Partial + o * Chunks * Cols + c;
            var sum = T.Load(from, lanes);
            for (var k = 1; k < Chunks; k++)
                sum += T.Load(from + (long)k * Cols, lanes);
            Vectors.Put(sum * scale, Y + o * Cols + c, lanes, Accumulate);
        }
    }

    /// <summary>The plain term: the matrix itself, rows <c>Stride</c> apart.</summary>
    public struct Plain : IColumnTerm
    {
        public float* X;
        public long Stride;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public readonly T At<T>(long row, int col, int lanes)
            where T : struct, IFloats<T> => T.Load(X + row * Stride + col, lanes);
    }
}
