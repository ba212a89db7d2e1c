namespace CudaLora.Kernels.Simd;

/// <summary>
/// Forward of one sequence and key head: tiles of queries meet blocks of keys, with the running maximum and sum of the
/// online softmax (Milakov and Gimelshein 2018; Dao 2022), so that no (Tq, Tk) matrix exists.
/// </summary>
internal unsafe struct AttentionForwardBody<TLanes, TVec> : IParallelBody
    where TLanes : struct, ILanes<TVec>
    where TVec : struct
{
    private const int QueryTile = 48;
    private const int KeyBlock = 128;

    public AttentionShape Shape;
    public float* Q;
    public float* K;
    public float* V;
    public float* Y;
    public float* Lse;

    /// <summary>Items per key head: tile t belongs to item t % Splits.</summary>
    public int Splits;

    // The work memory of an item.
    private float* _keys;
    private float* _values;
    private float* _queries;
    private float* _scores;
    private float* _sums;
    private int _firstBlock;
    private int _endKey;

    public static int Tiles(int queries) => GemmPlan.Ceil(queries, QueryTile);

    public readonly void Execute(int item)
    {
        AttentionForwardBody<TLanes, TVec> work = this;
        int pair = item / Splits;
        work.Head(pair / Shape.KeyHeads, pair % Shape.KeyHeads, item % Splits);
    }

    private void Head(int batch, int head, int split)
    {
        AttentionMask mask = Shape.Mask(batch);
        int firstKey = int.MaxValue, endKey = 0;
        for (int tile = split; tile < Tiles(Shape.QueryLength); tile += Splits)
        {
            firstKey = Math.Min(firstKey, mask.First(tile * QueryTile));
            endKey = Math.Max(endKey, mask.End(Math.Min(Shape.QueryLength, (tile + 1) * QueryTile) - 1));
        }
        Pack(batch, head, Math.Min(firstKey, endKey), endKey);
        for (int tile = split; tile < Tiles(Shape.QueryLength); tile += Splits)
            for (int g = 0; g < Shape.Group; g++)
                Tile(mask, batch, (head * Shape.Group) + g, tile * QueryTile);
    }

    private void Pack(int batch, int head, int firstKey, int endKey)
    {
        int size = Shape.HeadSize, width = GemmTiles<TLanes, TVec>.PanelWidth;
        int padded = GemmPlan.RoundUp(size, width);
        _firstBlock = firstKey / KeyBlock;
        _endKey = endKey;
        nint blocks = GemmPlan.Ceil(endKey, KeyBlock) - _firstBlock;
        _keys = Scratch.Floats(
            ScratchSlot.Attention,
            (blocks * KeyBlock * (size + padded)) + (QueryTile * (size + padded + KeyBlock)));
        _values = _keys + (blocks * KeyBlock * size);
        _queries = _values + (blocks * KeyBlock * padded);
        _scores = _queries + (QueryTile * size);
        _sums = _scores + (QueryTile * KeyBlock);
        nint stride = Shape.KeyStride, offset = Shape.KeyOffset(batch, head);
        for (int block = 0; block < blocks; block++)
        {
            int k0 = (_firstBlock + block) * KeyBlock;
            int count = Math.Min(KeyBlock, endKey - k0);
            nint from = offset + (k0 * stride);
            nint at = (nint)block * KeyBlock;
            Packing.TransposePanels(K + from, stride, _keys + (at * size), size, count, width);
            Packing.CopyPanels(V + from, stride, _values + (at * padded), count, size, width);
        }
    }

    private readonly void Tile(in AttentionMask mask, int batch, int head, int q0)
    {
        int size = Shape.HeadSize, padded = GemmPlan.RoundUp(size, GemmTiles<TLanes, TVec>.PanelWidth);
        int rows = Math.Min(QueryTile, Shape.QueryLength - q0);
        float* max = stackalloc float[QueryTile];
        float* sum = stackalloc float[QueryTile];
        new Span<float>(max, rows).Fill(float.NegativeInfinity);
        new Span<float>(sum, rows).Clear();
        new Span<float>(_sums, rows * padded).Clear();
        Packing.Copy(Q + Shape.QueryOffset(batch, q0, head), Shape.QueryStride, _queries, size, rows, size);

        int endKey = mask.End(q0 + rows - 1), height = GemmTiles<TLanes, TVec>.Height(rows);
        for (int k0 = mask.First(q0) / KeyBlock * KeyBlock; k0 < endKey; k0 += KeyBlock)
        {
            int count = Math.Min(KeyBlock, endKey - k0);
            bool segments = !mask.OneSegment(k0, k0 + count, q0, q0 + rows);
            // Tile row by tile row: the upper ones of a causal mask look at fewer keys.
            for (int i = 0; i < rows; i += height)
                Block(mask, segments, q0, i, Math.Min(height, rows - i), k0, max, sum);
        }
        Finish(batch, head, q0, rows, max, sum);
    }

    private readonly void Block(
        in AttentionMask mask, bool segments, int q0, int first, int rows, int k0, float* max, float* sum)
    {
        int count = Math.Min(KeyBlock, mask.End(q0 + first + rows - 1) - k0);
        if (count <= 0)
            return;
        int size = Shape.HeadSize, width = GemmTiles<TLanes, TVec>.PanelWidth;
        int padded = GemmPlan.RoundUp(size, width);
        nint at = (nint)((k0 / KeyBlock) - _firstBlock) * KeyBlock;
        float* scores = _scores + (first * KeyBlock);
        // Whole panels: what lies beyond the keys is overwritten.
        GemmTiles<TLanes, TVec>.Multiply(
            rows, GemmPlan.RoundUp(count, width), size, _queries + ((nint)first * size), size, _keys + (at * size),
            Shape.Scale, 0, scores, KeyBlock);
        for (int i = first; i < first + rows; i++)
            Softmax(mask, segments, q0 + i, k0, count, i, max, sum);
        // The block may have been packed deeper than this tile may look.
        nint depth = Math.Min(KeyBlock, _endKey - k0);
        float* values = _values + (at * padded);
        for (int j = 0; j < padded; j += width)
            GemmTiles<TLanes, TVec>.Full(
                rows, count, scores, KeyBlock, values + (j * depth), width, 1, 1,
                _sums + ((nint)first * padded) + j, padded);
    }

    private readonly void Softmax(
        in AttentionMask mask, bool segments, int query, int k0, int count, int i, float* max, float* sum)
    {
        float* row = _scores + (i * KeyBlock);
        int first = Math.Clamp(mask.First(query) - k0, 0, count);
        int end = Math.Clamp(mask.End(query) - k0, first, count);
        int width = GemmPlan.RoundUp(end, TLanes.Width);
        new Span<float>(row, first).Fill(float.NegativeInfinity);
        new Span<float>(row + end, width - end).Fill(float.NegativeInfinity);
        for (int j = first; segments && j < end; j++)
            if (!mask.SameSegment(k0 + j, query))
                row[j] = float.NegativeInfinity;

        float highest = Math.Max(max[i], AttentionRows<TLanes, TVec>.Highest(row, width));
        if (float.IsNegativeInfinity(highest))
        {
            new Span<float>(row, count).Clear();
            return;
        }
        float added = AttentionRows<TLanes, TVec>.ExpSum(row, width, highest);
        new Span<float>(row + width, Math.Max(0, count - width)).Clear();
        if (highest != max[i])
        {
            int padded = GemmPlan.RoundUp(Shape.HeadSize, GemmTiles<TLanes, TVec>.PanelWidth);
            float shrink = MathF.Exp(max[i] - highest);
            sum[i] *= shrink;
            float* y = _sums + ((nint)i * padded);
            AttentionRows<TLanes, TVec>.Combine(y, 0, y, shrink, padded);
            max[i] = highest;
        }
        sum[i] += added;
    }

    private readonly void Finish(int batch, int head, int q0, int rows, float* max, float* sum)
    {
        int size = Shape.HeadSize, padded = GemmPlan.RoundUp(size, GemmTiles<TLanes, TVec>.PanelWidth);
        float* y = Y + Shape.QueryOffset(batch, q0, head);
        for (int i = 0; i < rows; i++)
        {
            float scale = sum[i] == 0 ? 0 : 1 / sum[i];
            AttentionRows<TLanes, TVec>.Combine(
                y + (i * Shape.QueryStride), 0, _sums + ((nint)i * padded), scale, size);
            if (Lse != null)
                Lse[Shape.LseOffset(batch, head) + q0 + i] = max[i] + MathF.Log(sum[i]);
        }
    }
}
