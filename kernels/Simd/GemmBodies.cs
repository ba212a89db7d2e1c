namespace CudaLora.Kernels.Simd;

/// <summary>Packs one group of B panels of one k block.</summary>
internal unsafe struct PackBody<TLanes, TVec, TSource> : IParallelBody
    where TLanes : struct, ILanes<TVec>
    where TVec : struct
    where TSource : struct, IPanelSource<TSource>
{
    public TSource B;
    public bool TransB;
    public int K;
    public int FirstColumn;
    public int Columns;
    public int PaddedColumns;
    public int GroupColumns;
    public int Groups;
    public float* Target;

    public readonly void Execute(int item)
    {
        int first = item % Groups * GroupColumns;
        int k0 = item / Groups * GemmPlan.Depth;
        int depth = Math.Min(GemmPlan.Depth, K - k0);
        float* target = Target + ((nint)k0 * PaddedColumns) + ((nint)first * depth);
        int cols = Math.Min(GroupColumns, Columns - first);
        Block(B, TransB, k0, depth, FirstColumn + first, cols, target);
    }

    /// <summary>Rows k0.. and columns n0.. of op(B), into panels.</summary>
    public static void Block(TSource b, bool transB, int k0, int depth, int n0, int cols, float* target)
    {
        int width = GemmTiles<TLanes, TVec>.PanelWidth;
        float* source = b.Direct;
        nint stride = b.Stride;
        if (source != null)
        {
            if (transB)
                Packing.TransposePanels(source + (n0 * stride) + k0, stride, target, depth, cols, width);
            else
                Packing.CopyPanels(source + (k0 * stride) + n0, stride, target, depth, cols, width);
            return;
        }
        if (!transB)
        {
            float* rows = Scratch.Floats(ScratchSlot.Decode, (nint)depth * cols);
            for (int p = 0; p < depth; p++)
                b.Decode(k0 + p, n0, cols, rows + ((nint)p * cols));
            Packing.CopyPanels(rows, cols, target, depth, cols, width);
            return;
        }
        float* columns = Scratch.Floats(ScratchSlot.Decode, (nint)depth * width);
        for (int j = 0; j < cols; j += width, target += (nint)depth * width)
        {
            int count = Math.Min(width, cols - j);
            for (int i = 0; i < count; i++)
                b.Decode(n0 + j + i, k0, depth, columns + ((nint)i * depth));
            Packing.TransposePanels(columns, depth, target, depth, count, width);
        }
    }
}

/// <summary>Turns A, stored (K, M), into blocks (M, depth), one per item.</summary>
internal unsafe struct TransposeBody : IParallelBody
{
    public float* A;
    public nint Lda;
    public int M;
    public int K;
    public int Depth;
    public float* Target;

    public readonly void Execute(int item)
    {
        int k0 = item * Depth;
        int depth = Math.Min(Depth, K - k0);
        Packing.Transpose(A + (k0 * Lda), Lda, Target + ((nint)k0 * M), depth, depth, M);
    }
}

/// <summary>Many rows: an item is a block of C; B was packed before, for all items.</summary>
internal unsafe struct TallBody<TLanes, TVec, TSource> : IParallelBody
    where TLanes : struct, ILanes<TVec>
    where TVec : struct
    where TSource : struct, IPanelSource<TSource>
{
    public GemmProduct<TSource> Product;
    public float* Panels;
    public int FirstColumn;
    public int Columns;
    public int PaddedColumns;
    public int BlockRows;
    public int BlockColumns;
    public int ColumnBlocks;
    public bool CopyA;

    public readonly void Execute(int item)
    {
        GemmProduct<TSource> p = Product;
        int first = item % ColumnBlocks * BlockColumns;
        int cols = Math.Min(BlockColumns, Columns - first);
        int m0 = item / ColumnBlocks * BlockRows;
        int rows = Math.Min(BlockRows, p.M - m0);
        float* c = p.C + (m0 * p.Ldc) + FirstColumn + first;
        for (int k0 = 0; k0 < p.K; k0 += GemmPlan.Depth)
        {
            int depth = Math.Min(GemmPlan.Depth, p.K - k0);
            float* a = p.TransA ? p.A + (k0 * p.Lda) + m0 : p.A + (m0 * p.Lda) + k0;
            nint lda = p.Lda;
            if (p.TransA || CopyA)
            {
                // A cache line beside the power of two, so that rows do not fight for the same cache sets.
                nint stride = depth + 16;
                float* local = Scratch.Floats(ScratchSlot.LocalA, rows * stride);
                if (p.TransA)
                    Packing.Transpose(a, lda, local, stride, depth, rows);
                else
                    Packing.Copy(a, lda, local, stride, rows, depth);
                a = local;
                lda = stride;
            }
            float* panels = Panels + ((nint)k0 * PaddedColumns) + ((nint)first * depth);
            float beta = k0 == 0 ? p.Beta : 1;
            GemmTiles<TLanes, TVec>.Multiply(rows, cols, depth, a, lda, panels, p.Alpha, beta, c, p.Ldc);
        }
    }
}

/// <summary>Few rows: an item is a block of columns and packs its own part of B. Can write C transposed.</summary>
internal unsafe struct WideBody<TLanes, TVec, TSource> : IParallelBody
    where TLanes : struct, ILanes<TVec>
    where TVec : struct
    where TSource : struct, IPanelSource<TSource>
{
    public GemmProduct<TSource> Product;

    /// <summary>A in blocks (M, depth), or null when A itself can be read by rows.</summary>
    public float* BlockedA;
    public int BlockColumns;
    public int Depth;
    public bool TransposeC;

    public readonly void Execute(int item)
    {
        GemmProduct<TSource> p = Product;
        int n0 = item * BlockColumns;
        int cols = Math.Min(BlockColumns, p.N - n0);
        int width = GemmTiles<TLanes, TVec>.PanelWidth;
        float* panels = Scratch.Floats(ScratchSlot.LocalB, (nint)GemmPlan.RoundUp(BlockColumns, width) * Depth);
        float* c = p.C + n0;
        nint ldc = p.Ldc;
        float alpha = p.Alpha;
        if (TransposeC)
        {
            // As it comes, and then transposed.
            c = Scratch.Floats(ScratchSlot.LocalA, 2 * (nint)p.M * cols);
            ldc = cols;
            alpha = 1;
        }
        // One or two rows of tiles meet each element of B once or twice: packing would cost more than it saves.
        bool inPlace = p.M <= 2 * TLanes.TileRows && !p.TransB && p.B.Direct != null;
        int height = GemmTiles<TLanes, TVec>.Height(p.M);
        for (int k0 = 0; k0 < p.K; k0 += Depth)
        {
            int depth = Math.Min(Depth, p.K - k0);
            float* a = BlockedA != null ? BlockedA + ((nint)k0 * p.M) : p.A + k0;
            nint lda = BlockedA != null ? depth : p.Lda;
            float beta = k0 != 0 ? 1 : TransposeC ? 0 : p.Beta;
            int done = 0;
            for (; inPlace && done <= cols - width; done += width)
                for (int i = 0; i < p.M; i += height)
                    GemmTiles<TLanes, TVec>.Full(
                        Math.Min(height, p.M - i), depth, a + (i * lda), lda,
                        p.B.Direct + (k0 * p.B.Stride) + n0 + done, p.B.Stride, alpha, beta, c + (i * ldc) + done, ldc);
            if (done == cols)
                continue;
            PackBody<TLanes, TVec, TSource>.Block(p.B, p.TransB, k0, depth, n0 + done, cols - done, panels);
            GemmTiles<TLanes, TVec>.Multiply(
                p.M, cols - done, depth, a, lda, panels, alpha, beta, c + done, ldc);
        }
        if (TransposeC)
            Turn(p, n0, cols, c);
    }

    private static void Turn(in GemmProduct<TSource> p, int n0, int cols, float* c)
    {
        float* turned = c + ((nint)p.M * cols);
        Packing.Transpose(c, cols, turned, p.M, p.M, cols);
        // Rows that follow one another are one long row.
        bool dense = p.Ldc == p.M;
        for (int j = 0; j < (dense ? 1 : cols); j++)
            AttentionRows<TLanes, TVec>.Combine(
                p.C + ((n0 + j) * p.Ldc), p.Beta, turned + ((nint)j * p.M), p.Alpha, dense ? cols * p.M : p.M);
    }
}
