namespace CudaLora.Kernels.Simd;

/// <summary>Few columns, or few rows of decode: both operands run along k and nothing is packed.</summary>
internal unsafe struct DotBody<TLanes, TVec, TSource> : IParallelBody
    where TLanes : struct, ILanes<TVec>
    where TVec : struct
    where TSource : struct, IPanelSource<TSource>
{
    private const int Depth = 1024;

    /// <summary>TransA is false and TransB true.</summary>
    public GemmProduct<TSource> Product;
    public int BlockRows;
    public int BlockColumns;

    public readonly void Execute(int item)
    {
        int blocks = (Product.N + BlockColumns - 1) / BlockColumns;
        int m0 = item / blocks * BlockRows;
        int n0 = item % blocks * BlockColumns;
        int rows = Math.Min(BlockRows, Product.M - m0);
        int cols = Math.Min(BlockColumns, Product.N - n0);
        for (int k0 = 0; k0 < Product.K; k0 += Depth)
        {
            if (cols <= 8 && Product.B.Direct != null)
                Narrow(m0, rows, n0, cols, k0);
            else
                Short(m0, rows, n0, cols, k0);
        }
    }

    // The rows of A are the stream: each is read once and meets all columns.
    private readonly void Narrow(int m0, int rows, int n0, int cols, int k0)
    {
        GemmProduct<TSource> p = Product;
        int depth = Math.Min(Depth, p.K - k0);
        float beta = k0 == 0 ? p.Beta : 1;
        nint ldb = p.B.Stride;
        float* b = p.B.Direct + (n0 * ldb) + k0;
        for (int i = 0; i < rows; i += 3)
        {
            float* a = p.A + ((m0 + i) * p.Lda) + k0;
            float* c = p.C + ((m0 + i) * p.Ldc) + n0;
            for (int j = 0; j < cols; j += 4)
                GemmTiles<TLanes, TVec>.Dot(
                    Math.Min(3, rows - i), Math.Min(4, cols - j), depth, a, p.Lda, b + (j * ldb), ldb,
                    p.Alpha, beta, c + j, p.Ldc);
        }
    }

    // The rows of stored B are the stream.
    private readonly void Short(int m0, int rows, int n0, int cols, int k0)
    {
        GemmProduct<TSource> p = Product;
        int depth = Math.Min(Depth, p.K - k0);
        float beta = k0 == 0 ? p.Beta : 1;
        int height = GemmPlan.Ceil(rows, GemmPlan.Ceil(rows, 3));
        for (int j = 0; j < cols; j += 4)
        {
            int width = Math.Min(4, cols - j);
            nint ldb = p.B.Stride;
            float* b = p.B.Direct + ((n0 + j) * ldb) + k0;
            if (p.B.Direct == null)
            {
                ldb = Depth;
                b = Scratch.Floats(ScratchSlot.Decode, 4 * Depth);
                for (int i = 0; i < width; i++)
                    p.B.Decode(n0 + j + i, k0, depth, b + (i * Depth));
            }
            for (int i = 0; i < rows; i += height)
                GemmTiles<TLanes, TVec>.Dot(
                    Math.Min(height, rows - i), width, depth, p.A + ((m0 + i) * p.Lda) + k0, p.Lda, b, ldb,
                    p.Alpha, beta, p.C + ((m0 + i) * p.Ldc) + n0 + j, p.Ldc);
        }
    }
}

/// <summary>Columns that fit one vector: an item is a block of rows of A, read in place.</summary>
internal unsafe struct NarrowBody<TLanes, TVec> : IParallelBody
    where TLanes : struct, ILanes<TVec>
    where TVec : struct
{
    /// <summary>TransA is false; B is one panel (K, Width).</summary>
    public GemmProduct<F32Source> Product;
    public int BlockRows;

    public readonly void Execute(int item)
    {
        GemmProduct<F32Source> p = Product;
        int m0 = item * BlockRows;
        for (int k0 = 0; k0 < p.K; k0 += GemmPlan.NarrowDepth)
            GemmTiles<TLanes, TVec>.Narrow(
                Math.Min(BlockRows, p.M - m0), p.N, Math.Min(GemmPlan.NarrowDepth, p.K - k0),
                p.A + (m0 * p.Lda) + k0, p.Lda, p.B.Direct + ((nint)k0 * TLanes.Width), p.Alpha,
                k0 == 0 ? p.Beta : 1, p.C + (m0 * p.Ldc), p.Ldc);
    }
}
