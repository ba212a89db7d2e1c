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

    private readonly void Block(in AttentionMask mask, int q0, int rows, int k0, int keys)
    {
        int size = Shape.HeadSize;
        int columns = GemmPlan.RoundUp(rows, GemmTiles<TLanes, TVec>.PanelWidth);
        nint at = (nint)k0 * size;
        GemmTiles<TLanes, TVec>.Multiply(
            keys, columns, size, _k + at, size, _qT, Shape.Scale, 0, _p, QueryTile);
        bool segments = !mask.OneSegment(k0, k0 + keys, q0, q0 + rows);
        for (int j = 0; j < keys; j++)
            Probabilities(mask, segments, q0, rows, k0 + j, _p + (j * QueryTile), columns);
        if (GradV != null)
            GemmTiles<TLanes, TVec>.Multiply(
                keys, size, rows, _p, QueryTile, _dy, 1, 1, _dv + at, size);
        if (GradQ == null && GradK == null)
            return;

        GemmTiles<TLanes, TVec>.Multiply(keys, columns, size, _v + at, size, _dyT, 1, 0, _ds, QueryTile);
        for (int j = 0; j < keys; j++)
            AttentionRows<TLanes, TVec>.ScoreGradient(
                _ds + (j * QueryTile), _p + (j * QueryTile), _minusDelta, Shape.Scale, columns);
        if (GradK != null)
            GemmTiles<TLanes, TVec>.Multiply(
                keys, size, rows, _ds, QueryTile, _q, 1, 1, _dk + at, size);
        if (GradQ != null)
            AddQueries(mask, rows, k0, keys);
    }

    private readonly void AddQueries(in AttentionMask mask, int rows, int k0, int keys)
    {
        int size = Shape.HeadSize, width = GemmTiles<TLanes, TVec>.PanelWidth;
        float* panels = _kPanels + ((nint)k0 * GemmPlan.RoundUp(size, width));
        // The block may have been packed deeper than this tile may look.
        nint depth = Math.Min(KeyBlock, mask.Keys - k0);
        Packing.Transpose(_ds, QueryTile, _dsRows, KeyBlock, keys, rows);
        for (int j = 0; j < size; j += width)
            for (int i = 0; i < rows; i += TLanes.TileRows)
                GemmTiles<TLanes, TVec>.One(
                    Math.Min(TLanes.TileRows, rows - i), Math.Min(width, size - j), keys,
                    _dsRows + (i * KeyBlock), KeyBlock, panels + (j * depth), 1, 1, _dq + ((nint)i * size) + j, size);
    }

    // One key against the queries of the tile.
    private readonly void Probabilities(
        in AttentionMask mask, bool segments, int q0, int rows, int key, float* p, int columns)
    {
        int first = Math.Clamp(mask.FirstQuery(key, Shape.QueryLength) - q0, 0, rows);
        int end = Math.Clamp(mask.EndQuery(key, Shape.QueryLength) - q0, first, rows);
        AttentionRows<TLanes, TVec>.ExpEach(p, _minusLse, columns);
        new Span<float>(p, first).Clear();
        new Span<float>(p + end, columns - end).Clear();
        for (int i = first; segments && i < end; i++)
            if (!mask.SameSegment(key, q0 + i))
                p[i] = 0;
    }
}
