namespace CudaLora.Kernels.Simd;

/// <summary>
/// Backward of one sequence and key head. The scores are computed again, transposed, block by block: with
/// P = e^(S - lse), dV += Pᵀ dY, dS = P (dY Vᵀ - rowsum(dY Y)) * scale, dK += dSᵀ Q, dQ += dS K. The query heads of
/// the group follow one another in one item, so that their sums have a fixed order and need no atomics.
/// </summary>
internal unsafe struct AttentionBackwardBody<TLanes, TVec> : IParallelBody
    where TLanes : struct, ILanes<TVec>
    where TVec : struct
{
    private const int QueryTile = 64;
    private const int KeyBlock = 48;

    public AttentionShape Shape;
    public float* Q;
    public float* K;
    public float* V;
    public float* Y;
    public float* Lse;
    public float* GradY;
    public float* GradQ;
    public float* GradK;
    public float* GradV;
    public bool AddQ;
    public bool AddK;
    public bool AddV;

    // The work memory of an item. Per sequence: rows of k and v, panels of k, sums of dk and dv.
    private float* _k;
    private float* _v;
    private float* _kPanels;
    private float* _dk;
    private float* _dv;

    // Per tile of queries: qᵀ, q, dyᵀ and dy in panels, -lse and -delta, dq. Per block: Pᵀ, dSᵀ (keys, queries), dS.
    private float* _qT;
    private float* _q;
    private float* _dyT;
    private float* _dy;
    private float* _minusLse;
    private float* _minusDelta;
    private float* _dq;
    private float* _p;
    private float* _ds;
    private float* _dsRows;

    public readonly void Execute(int item)
    {
        AttentionBackwardBody<TLanes, TVec> work = this;
        work.Head(item / Shape.KeyHeads, item % Shape.KeyHeads);
    }

    private void Head(int batch, int head)
    {
        AttentionMask mask = Shape.Mask(batch);
        int size = Shape.HeadSize;
        Place();
        nint stride = Shape.KeyStride, offset = Shape.KeyOffset(batch, head);
        Packing.Copy(K + offset, stride, _k, size, mask.Keys, size);
        Packing.Copy(V + offset, stride, _v, size, mask.Keys, size);
        int padded = GemmPlan.RoundUp(size, GemmTiles<TLanes, TVec>.PanelWidth);
        for (int k0 = 0; GradQ != null && k0 < mask.Keys; k0 += KeyBlock)
            Packing.CopyPanels(
                _k + ((nint)k0 * size), size, _kPanels + ((nint)k0 * padded), Math.Min(KeyBlock, mask.Keys - k0),
                size, GemmTiles<TLanes, TVec>.PanelWidth);
        new Span<float>(_dk, Shape.KeyLength * size).Clear();
        new Span<float>(_dv, Shape.KeyLength * size).Clear();

        for (int g = 0; g < Shape.Group; g++)
            for (int q0 = 0; q0 < Shape.QueryLength; q0 += QueryTile)
                Tile(mask, batch, (head * Shape.Group) + g, q0);

        nint row = (nint)Shape.KeyHeads * size;
        nint at = (((nint)batch * Shape.KeyLength * Shape.KeyHeads) + head) * size;
        for (int j = 0; j < Shape.KeyLength; j++)
        {
            nint from = (nint)j * size;
            if (GradK != null)
                AttentionRows<TLanes, TVec>.Combine(GradK + at + (j * row), AddK ? 1 : 0, _dk + from, 1, size);
            if (GradV != null)
                AttentionRows<TLanes, TVec>.Combine(GradV + at + (j * row), AddV ? 1 : 0, _dv + from, 1, size);
        }
    }

    private void Place()
    {
        int size = Shape.HeadSize, padded = GemmPlan.RoundUp(size, GemmTiles<TLanes, TVec>.PanelWidth);
        nint keys = Shape.KeyLength;
        nint total = (keys * ((4 * size) + padded)) + (QueryTile * ((3 * size) + (2 * padded) + 2))
            + (3 * QueryTile * KeyBlock);
        float* next = Scratch.Floats(ScratchSlot.Attention, total);
        _k = Take(ref next, keys * size);
        _v = Take(ref next, keys * size);
        _dk = Take(ref next, keys * size);
        _dv = Take(ref next, keys * size);
        _kPanels = Take(ref next, keys * padded);
        _qT = Take(ref next, QueryTile * size);
        _dyT = Take(ref next, QueryTile * size);
        _dq = Take(ref next, QueryTile * size);
        _q = Take(ref next, QueryTile * padded);
        _dy = Take(ref next, QueryTile * padded);
        _minusLse = Take(ref next, QueryTile);
        _minusDelta = Take(ref next, QueryTile);
        _p = Take(ref next, QueryTile * KeyBlock);
        _ds = Take(ref next, QueryTile * KeyBlock);
        _dsRows = Take(ref next, QueryTile * KeyBlock);
    }

    private static float* Take(ref float* next, nint count)
    {
        float* taken = next;
        next += count;
        return taken;
    }

    private readonly void Tile(in AttentionMask mask, int batch, int head, int q0)
    {
        int size = Shape.HeadSize, width = GemmTiles<TLanes, TVec>.PanelWidth;
        int rows = Math.Min(QueryTile, Shape.QueryLength - q0);
        nint stride = Shape.QueryStride, offset = Shape.QueryOffset(batch, q0, head);
        Packing.TransposePanels(Q + offset, stride, _qT, size, rows, width);
        Packing.CopyPanels(Q + offset, stride, _q, rows, size, width);
        Packing.TransposePanels(GradY + offset, stride, _dyT, size, rows, width);
        Packing.CopyPanels(GradY + offset, stride, _dy, rows, size, width);
        float* lse = Lse + Shape.LseOffset(batch, head) + q0;
        for (int i = 0; i < QueryTile; i++)
        {
            // A query without keys, and padding, get probabilities of zero.
            bool any = i < rows && !float.IsNegativeInfinity(lse[i]);
            _minusLse[i] = any ? -lse[i] : float.NegativeInfinity;
            nint at = offset + (i * stride);
            _minusDelta[i] = any ? -AttentionRows<TLanes, TVec>.Dot(GradY + at, Y + at, size) : 0;
        }
        new Span<float>(_dq, rows * size).Clear();

        int endKey = mask.End(q0 + rows - 1);
        for (int k0 = mask.First(q0) / KeyBlock * KeyBlock; k0 < endKey; k0 += KeyBlock)
            Block(mask, q0, rows, k0, Math.Min(KeyBlock, endKey - k0));
        for (int i = 0; GradQ != null && i < rows; i++)
            AttentionRows<TLanes, TVec>.Combine(
                GradQ + offset + (i * stride), AddQ ? 1 : 0, _dq + ((nint)i * size), 1, size);
    }

    // Tile row by tile row of keys: the later ones of a causal mask are seen by fewer queries.
    private readonly void Block(in AttentionMask mask, int q0, int rows, int k0, int keys)
    {
        bool segments = !mask.OneSegment(k0, k0 + keys, q0, q0 + rows);
        int height = GemmTiles<TLanes, TVec>.Height(keys);
        for (int j = 0; j < keys; j += height)
            Keys(mask, segments, q0, rows, k0, j, Math.Min(height, keys - j));
        if (GradQ != null)
            AddQueries(mask, q0, rows, k0, keys);
    }

    private readonly void Keys(
        in AttentionMask mask, bool segments, int q0, int rows, int k0, int first, int keys)
    {
        int size = Shape.HeadSize, width = GemmTiles<TLanes, TVec>.PanelWidth;
        int query = Math.Clamp(mask.FirstQuery(k0 + first, Shape.QueryLength) - q0, 0, rows);
        // The panel that the first query lies in, and all after it.
        int column = query / width * width;
        int columns = GemmPlan.RoundUp(rows, width) - column;
        nint at = (nint)(k0 + first) * size, row = (nint)first * QueryTile;
        float* p = _p + row, ds = _ds + row;
        if (columns > 0)
            GemmTiles<TLanes, TVec>.Multiply(
                keys, columns, size, _k + at, size, _qT + ((nint)column * size), Shape.Scale, 0, p + column, QueryTile);
        for (int j = 0; j < keys; j++)
            Probabilities(mask, segments, q0, rows, k0 + first + j, p + (j * QueryTile), column, columns);
        if (GradV != null)
            AddKeys(keys, query, rows, p, _dy, _dv + at);
        if (GradQ == null && GradK == null)
            return;

        if (columns > 0)
            GemmTiles<TLanes, TVec>.Multiply(
                keys, columns, size, _v + at, size, _dyT + ((nint)column * size), 1, 0, ds + column, QueryTile);
        for (int j = 0; j < keys; j++)
        {
            float* line = ds + (j * QueryTile);
            new Span<float>(line, column).Clear();
            AttentionRows<TLanes, TVec>.ScoreGradient(
                line + column, p + (j * QueryTile) + column, _minusDelta + column, Shape.Scale, columns);
        }
        if (GradK != null)
            AddKeys(keys, query, rows, ds, _q, _dk + at);
    }

    // sums (keys, D) += weights (keys, queries) values (queries, D), from a query on.
    private readonly void AddKeys(int keys, int query, int rows, float* weights, float* panels, float* sums)
    {
        int size = Shape.HeadSize, width = GemmTiles<TLanes, TVec>.PanelWidth;
        for (int d = 0; query < rows && d < size; d += width)
            GemmTiles<TLanes, TVec>.One(
                keys, Math.Min(width, size - d), rows - query, weights + query, QueryTile,
                panels + ((nint)d * rows) + (query * width), 1, 1, sums + d, size);
    }

    private readonly void AddQueries(in AttentionMask mask, int q0, int rows, int k0, int keys)
    {
        int size = Shape.HeadSize, width = GemmTiles<TLanes, TVec>.PanelWidth;
        float* panels = _kPanels + ((nint)k0 * GemmPlan.RoundUp(size, width));
        // The block may have been packed deeper than this tile may look.
        nint depth = Math.Min(KeyBlock, mask.Keys - k0);
        Packing.Transpose(_ds, QueryTile, _dsRows, KeyBlock, keys, rows);
        int height = GemmTiles<TLanes, TVec>.Height(rows);
        for (int i = 0; i < rows; i += height)
        {
            int count = Math.Min(height, rows - i);
            int seen = Math.Min(keys, mask.End(q0 + i + count - 1) - k0);
            for (int d = 0; seen > 0 && d < size; d += width)
                GemmTiles<TLanes, TVec>.One(
                    count, Math.Min(width, size - d), seen, _dsRows + (i * KeyBlock), KeyBlock,
                    panels + (d * depth), 1, 1, _dq + ((nint)i * size) + d, size);
        }
    }

    // One key against the queries of the tile, whose scores begin at a column.
    private readonly void Probabilities(
        in AttentionMask mask, bool segments, int q0, int rows, int key, float* p, int column, int columns)
    {
        int first = Math.Clamp(mask.FirstQuery(key, Shape.QueryLength) - q0, 0, rows);
        int end = Math.Clamp(mask.EndQuery(key, Shape.QueryLength) - q0, first, rows);
        AttentionRows<TLanes, TVec>.ExpEach(p + column, _minusLse + column, columns);
        new Span<float>(p + column, first - column).Clear();
        new Span<float>(p + end, column + columns - end).Clear();
        for (int i = first; segments && i < end; i++)
            if (!mask.SameSegment(key, q0 + i))
                p[i] = 0;
    }
}
