namespace CudaLora.Kernels.Simd;

/// <summary>Rows of a table (vocabulary, cols) by id.</summary>
public static unsafe class EmbeddingKernel
{
    // Columns one item adds: four cache lines.
    private const int ColumnBlock = 64;

    /// <summary>y (rows, cols) = table[ids].</summary>
    public static void Forward(float* table, int* ids, float* y, int rows, int cols)
    {
        var body = new GatherBody { Table = table, Ids = ids, Y = y, Rows = rows, Cols = cols };
        Workers.Run(ref body, Split.Items(rows, Split.Rows(cols)));
    }

    /// <summary>
    /// dtable[ids[r]] += dy[r], after clearing unless <paramref name="accumulate"/>. Items own columns and walk the
    /// rows in order, so repeated ids always add in the same order.
    /// </summary>
    public static void Backward(
        float* dy, int* ids, float* dtable, int rows, int vocabulary, int cols, bool accumulate = false)
    {
        if (!accumulate)
            VectorOps.Fill(dtable, 0f, (long)vocabulary * cols);
        var body = new ScatterBody { Dy = dy, Ids = ids, Table = dtable, Rows = rows, Cols = cols };
        Workers.Run(ref body, Split.Items(cols, ColumnBlock));
    }

    private struct GatherBody : IParallelBody
    {
        public float* Table, Y;
        public int* Ids;
        public int Rows, Cols;

        public readonly void Execute(int item)
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
                new Span<float>(Table + (long)Ids[r] * Cols, Cols).CopyTo(new Span<float>(Y + (long)r * Cols, Cols));
        }
    }

    private struct ScatterBody : IParallelBody
    {
        public float* Dy, Table;
        public int* Ids;
        public int Rows, Cols;

        public readonly void Execute(int item)
        {
            var start = item * ColumnBlock;
            var end = Math.Min(Cols, start + ColumnBlock);
            for (var r = 0; r < Rows; r++)
            {
                var to = Table + (long)Ids[r] * Cols;
                Vectors.Copy(Dy + (long)r * Cols + start, to + start, end - start, true);
            }
        }
    }
}
