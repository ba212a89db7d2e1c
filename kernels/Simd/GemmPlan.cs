namespace CudaLora.Kernels.Simd;

/// <summary>Block sizes that no thread count may change.</summary>
internal static class GemmPlan
{
    /// <summary>k is summed in blocks of this depth: a panel then fits the first-level cache.</summary>
    public const int Depth = 256;

    /// <summary>Rows of A per block: with Depth, what the second-level cache holds beside the panels.</summary>
    public const int MaxRows = 96;

    /// <summary>Depth of the blocks where B is one vector wide: such a panel stays in the first-level cache.</summary>
    public const int NarrowDepth = 512;

    /// <summary>Items to aim for, so that threads of unequal speed end together.</summary>
    public const int Items = 8;

    /// <summary>Below this a fork costs more than it gains.</summary>
    public const long ForkFlops = 400_000;

    /// <summary>Columns of a block of few rows: at least a run worth fetching, at most this many.</summary>
    public const int RunColumns = 64;

    /// <summary>Most columns of a block of few rows.</summary>
    public const int MaxColumns = 512;

    /// <summary>Packed floats of such a block, a share of the second-level cache.</summary>
    public const int WideFloats = 1 << 15;

    /// <summary>Packed floats of B at a time, a share of the last-level cache.</summary>
    public const int PackedFloats = 2 << 20;

    public static int Ceil(int value, int unit) => (value + unit - 1) / unit;

    public static int RoundUp(int value, int unit) => Ceil(value, unit) * unit;

    /// <summary>A block size: a multiple of unit, at most max, that gives about Items blocks.</summary>
    public static int Block(int total, int unit, int max)
        => Math.Clamp(RoundUp(Ceil(total, Items), unit), unit, max);
}

/// <summary>Chooses the way through one product by its shape alone and runs it.</summary>
internal static unsafe class GemmPlan<TLanes, TVec, TSource>
    where TLanes : struct, ILanes<TVec>
    where TVec : struct
    where TSource : struct, IPanelSource<TSource>
{
    private const int DotColumns = 8;
    private const int SwapColumns = 64;

    // Where both operands run along k, the dot tile beats a transposing pack up to so many rows: fewer where long
    // vectors meet a short depth, as the sums across lanes at its end weigh more then.
    private const int DotRows = 32;
    private const int ShortDotRows = 16;
    private const int ShortDepth = 1024;

    public static void Run(GemmProduct<TSource> p, bool parallel)
    {
        parallel &= p.Flops >= GemmPlan.ForkFlops;
        // In one block, a dot tile's sums across lanes at its end would weigh too much.
        bool deep = p.K > GemmPlan.NarrowDepth;
        if (!p.TransA && p.N <= TLanes.Width && p.M >= TLanes.TileRows && (!deep || p.N > DotColumns))
            Narrow(p, parallel);
        else if (!p.TransA && p.N <= DotColumns)
            Dot(p, parallel);
        else if (p.TransB && p.M <= (TLanes.Width > 8 && p.K < ShortDepth ? ShortDotRows : DotRows))
            Short(p, parallel);
        else if (p.TransA && p.N <= SwapColumns && p.M > 2 * p.N && p.B.Direct != null)
            Swapped(p, parallel);
        else if (p.M <= GemmPlan.MaxRows)
            GemmPlan<TLanes, TVec, TSource>.Wide(p, parallel, transposeC: false);
        else
            Tall(p, parallel);
    }

    private static void Fork<TBody>(ref TBody body, int items, bool parallel)
        where TBody : struct, IParallelBody
    {
        if (parallel)
        {
            Workers.Run(ref body, items);
            return;
        }
        for (int i = 0; i < items; i++)
            body.Execute(i);
    }

    private static void Narrow(GemmProduct<TSource> p, bool parallel)
    {
        int width = TLanes.Width;
        float* panel = Scratch.Floats(ScratchSlot.Shared, 2 * (nint)width * p.K);
        PackBody<TLanes, TVec, TSource>.Block(p.B, p.TransB, 0, p.K, 0, p.N, panel);
        // The panel is packed two vectors wide; the first is kept.
        for (int row = 1; row < p.K; row++)
            for (int i = 0; i < width; i++)
                panel[(row * width) + i] = panel[(2 * row * width) + i];
        var body = new NarrowBody<TLanes, TVec>
        {
            Product = p.WithSource(new F32Source(panel, width)),
            BlockRows = GemmPlan.Block(p.M, 12, GemmPlan.MaxRows),
        };
        Fork(ref body, GemmPlan.Ceil(p.M, body.BlockRows), parallel);
    }

    private static void Dot(GemmProduct<TSource> p, bool parallel)
    {
        GemmProduct<F32Source> dot;
        if (p.B.Direct != null && p.TransB)
        {
            dot = p.WithSource(new F32Source(p.B.Direct, p.B.Stride));
        }
        else
        {
            float* rows = Scratch.Floats(ScratchSlot.Shared, (nint)p.N * p.K);
            if (p.TransB)
                DecodeRows(p.B, rows, p.N, p.K);
            else
                TransposeB(p, rows);
            dot = p.WithSource(new F32Source(rows, p.K));
        }
        dot.TransB = true;
        var body = new DotBody<TLanes, TVec, F32Source>
        {
            Product = dot,
            BlockRows = GemmPlan.Block(p.M, 3, GemmPlan.MaxRows),
            BlockColumns = p.N,
        };
        Fork(ref body, GemmPlan.Ceil(p.M, body.BlockRows), parallel);
    }

    private static void DecodeRows(TSource b, float* target, int rows, int cols)
    {
        for (int row = 0; row < rows; row++)
            b.Decode(row, 0, cols, target + ((nint)row * cols));
    }

    private static void TransposeB(in GemmProduct<TSource> p, float* target)
    {
        float* source = p.B.Direct;
        nint stride = p.B.Stride;
        if (source == null)
        {
            source = Scratch.Floats(ScratchSlot.LocalB, (nint)p.N * p.K);
            stride = p.N;
            DecodeRows(p.B, source, p.K, p.N);
        }
        Packing.Transpose(source, stride, target, p.K, p.K, p.N);
    }

    private static void Short(GemmProduct<TSource> p, bool parallel)
    {
        if (p.TransA)
        {
            float* rows = Scratch.Floats(ScratchSlot.Shared, (nint)p.M * p.K);
            Packing.Transpose(p.A, p.Lda, rows, p.K, p.K, p.M);
            p.A = rows;
            p.Lda = p.K;
            p.TransA = false;
        }
        var body = new DotBody<TLanes, TVec, TSource>
        {
            Product = p,
            BlockRows = p.M,
            BlockColumns = GemmPlan.Block(p.N, 4, 64),
        };
        Fork(ref body, GemmPlan.Ceil(p.N, body.BlockColumns), parallel);
    }

    // Cᵀ = op(B)ᵀ A: the long matrix A is then read as it lies instead of being transposed.
    private static void Swapped(GemmProduct<TSource> p, bool parallel)
    {
        var swapped = new GemmProduct<F32Source>
        {
            TransA = !p.TransB,
            TransB = false,
            M = p.N,
            N = p.M,
            K = p.K,
            Alpha = p.Alpha,
            Beta = p.Beta,
            A = p.B.Direct,
            Lda = p.B.Stride,
            B = new F32Source(p.A, p.Lda),
            C = p.C,
            Ldc = p.Ldc,
        };
        GemmPlan<TLanes, TVec, F32Source>.Wide(swapped, parallel, transposeC: true);
    }

    private static void Wide(GemmProduct<TSource> p, bool parallel, bool transposeC)
    {
        int width = GemmTiles<TLanes, TVec>.PanelWidth;
        // Wide and shallow blocks where B is packed by rows: long runs per page of B cost fewer address translations.
        int columns = p.TransB
            ? GemmPlan.Block(p.N, width, 8 * width)
            : GemmPlan.Block(p.N, GemmPlan.RunColumns, GemmPlan.MaxColumns);
        var body = new WideBody<TLanes, TVec, TSource>
        {
            Product = p,
            BlockColumns = columns,
            Depth = Math.Min(GemmPlan.Depth, GemmPlan.WideFloats / columns),
            TransposeC = transposeC,
        };
        if (p.TransA)
        {
            body.BlockedA = Scratch.Floats(ScratchSlot.Shared, (nint)p.M * p.K);
            var transpose = new TransposeBody { A = p.A, Lda = p.Lda, M = p.M, K = p.K, Depth = body.Depth };
            transpose.Target = body.BlockedA;
            Fork(ref transpose, GemmPlan.Ceil(p.K, body.Depth), parallel && (long)p.M * p.K > 1 << 15);
        }
        Fork(ref body, GemmPlan.Ceil(p.N, body.BlockColumns), parallel);
    }

    private static void Tall(in GemmProduct<TSource> p, bool parallel)
    {
        int width = GemmTiles<TLanes, TVec>.PanelWidth;
        int group = 8 * width;
        int chunk = Math.Max(group, GemmPlan.PackedFloats / p.K / group * group);
        int panels = GemmPlan.Ceil(p.N, width);
        int rowBlocks = GemmPlan.Ceil(p.M, GemmPlan.MaxRows);
        for (int n0 = 0; n0 < p.N; n0 += chunk)
        {
            int cols = Math.Min(chunk, p.N - n0);
            int padded = GemmPlan.RoundUp(cols, width);
            float* packed = Scratch.Floats(ScratchSlot.Shared, (nint)padded * p.K);
            var pack = new PackBody<TLanes, TVec, TSource>
            {
                B = p.B,
                TransB = p.TransB,
                K = p.K,
                FirstColumn = n0,
                Columns = cols,
                PaddedColumns = padded,
                GroupColumns = group,
                Groups = GemmPlan.Ceil(cols, group),
                Target = packed,
            };
            int packItems = pack.Groups * GemmPlan.Ceil(p.K, GemmPlan.Depth);
            Fork(ref pack, packItems, parallel && (long)cols * p.K > 1 << 15);

            int split = Math.Clamp(GemmPlan.Items / rowBlocks, 1, Math.Max(1, GemmPlan.Ceil(cols, group)));
            int blockColumns = GemmPlan.RoundUp(GemmPlan.Ceil(cols, split), width);
            var body = new TallBody<TLanes, TVec, TSource>
            {
                Product = p,
                Panels = packed,
                FirstColumn = n0,
                Columns = cols,
                PaddedColumns = padded,
                BlockRows = GemmPlan.RoundUp(GemmPlan.Ceil(p.M, rowBlocks), TLanes.TileRows),
                BlockColumns = blockColumns,
                ColumnBlocks = GemmPlan.Ceil(cols, blockColumns),
                CopyA = p.Lda >= 1024 && panels > 4,
            };
            Fork(ref body, GemmPlan.Ceil(p.M, body.BlockRows) * body.ColumnBlocks, parallel);
        }
    }
}
