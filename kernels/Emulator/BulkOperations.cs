namespace CudaLora.Kernels.Emulator;

/// <summary>Rows of bytes between a box in shared memory and global memory.</summary>
internal sealed unsafe class BulkShape
{
    private readonly List<(nint Global, nint Written, int First, int Length)> _rows = [];

    private BulkShape(int rowBytes, int swizzle) => (RowBytes, Swizzling) = (rowBytes, swizzle);

    public int RowBytes { get; }

    public int Swizzling { get; }

    /// <summary>Bytes in shared memory, which is also what the mbarrier counts.</summary>
    public int Bytes => _rows.Count * RowBytes;

    public long GlobalBytes { get; private set; }

    public long Sectors { get; private set; }

    public static BulkShape Line(Warp w, ulong global, int bytes, Access access, int lane)
    {
        var shape = new BulkShape(bytes, 0);
        shape.AddRow(w, global, 0, bytes, access, lane);
        return shape;
    }

    public static BulkShape Box(Warp w, TensorMapFields map, ReadOnlySpan<int> start, Access access, int lane)
    {
        var shape = new BulkShape(map.RowBytes, map.Swizzle);
        int rows = map.Rows;
        for (int r = 0; r < rows; r++)
        {
            (ulong address, int first, int length) = map.Row(r, start);
            shape.AddRow(w, address, first, length, access, lane);
        }
        return shape;
    }

    /// <summary>Copies global rows to shared memory; what lies outside the tensor becomes zero.</summary>
    public void Load(Block block, uint to)
    {
        for (int r = 0; r < _rows.Count; r++)
        {
            (nint global, _, int first, int length) = _rows[r];
            for (int at = 0; at < RowBytes; at += 16)
            {
                uint address = Swizzle.Apply(to + (uint)((r * RowBytes) + at), Swizzling);
                var target = new Span<byte>(block.Shared + (address - Block.SharedBase), 16);
                target.Clear();
                int low = Math.Max(at, first), high = Math.Min(at + 16, first + length);
                if (high > low)
                    new ReadOnlySpan<byte>((byte*)global + low - first, high - low).CopyTo(target[(low - at)..]);
            }
        }
    }

    /// <summary>Takes the box out of shared memory, row by row.</summary>
    public byte[] Gather(Block block, uint from)
    {
        byte[] data = new byte[Bytes];
        for (int at = 0; at < data.Length; at += 16)
        {
            uint address = Swizzle.Apply(from + (uint)at, Swizzling);
            new ReadOnlySpan<byte>(block.Shared + (address - Block.SharedBase), 16).CopyTo(data.AsSpan(at));
        }
        return data;
    }

    /// <summary>Writes a gathered box to global memory; what lies outside the tensor is dropped.</summary>
    public void Store(byte[] data)
    {
        for (int r = 0; r < _rows.Count; r++)
        {
            (nint global, nint written, int first, int length) = _rows[r];
            data.AsSpan((r * RowBytes) + first, length).CopyTo(new Span<byte>((byte*)global, length));
            if (written != 0) new Span<byte>((byte*)written, length).Fill(1);
        }
    }

    private void AddRow(Warp w, ulong address, int first, int length, Access access, int lane)
    {
        if (length == 0)
        {
            _rows.Add((0, 0, 0, 0));
            return;
        }
        byte* data = w.GlobalPointer(address, length, access == Access.Read ? Access.Read : Access.Write, lane,
            markWritten: false);
        if (w.Cluster.Races is { } races) w.WatchCopy(races, address, length, access, lane);
        _rows.Add(((nint)data, w.WrittenPointer(address), first, length));
        GlobalBytes += length;
        Sectors += (int)((address + (ulong)length + 31) / 32 - (address / 32));
    }
}

/// <summary>
/// A bulk copy into the shared memory of one or several blocks; its bytes complete on their mbarriers.
/// </summary>
internal sealed class BulkLoad(Warp warp, BulkShape shape, uint to) : AsyncOperation
{
    private readonly Instruction _instruction = warp.Current;
    private readonly List<(Block Block, MBarrier Barrier, long Phase)> _targets = [];

    public void Add(Warp issuer, Block block, MBarrier barrier, int lane)
    {
        uint offset = to - Block.SharedBase;
        if (to < Block.SharedBase || offset + (uint)shape.Bytes > (uint)block.SharedBytes)
            throw issuer.OutOfBounds("shared", to, shape.Bytes, lane, null, block);
        if (issuer.Checks && barrier.Initialiser is not null)
            throw issuer.Fault(FaultKind.MissingProxyFence,
                $"the mbarrier at 0x{barrier.Address:X} was initialised by ordinary means; fence.mbarrier_init or fence.proxy.async must come between", lane);
        block.Shadow?.AsyncWrite(issuer, lane, offset, shape.Bytes, barrier.Component, barrier.Sequence);
        _targets.Add((block, barrier, barrier.Phase));
    }

    public bool Targets(MBarrier barrier, long phase) => _targets.Exists(t => t.Barrier == barrier && t.Phase == phase);

    public FaultSignal TooLate(MBarrier barrier) => barrier.WrongBytes(warp, _instruction,
        $"the phase completes while {shape.Bytes} bytes of this copy are still on their way: expect_tx was too small");

    public FaultSignal Early(string message) => warp.Fault(FaultKind.EarlyExit, message);

    protected override void Complete(Cluster cluster)
    {
        foreach ((Block block, MBarrier barrier, long phase) in _targets)
        {
            shape.Load(block, to);
            barrier.CompleteBytes(warp, _instruction, shape.Bytes, phase);
        }
    }
}

/// <summary>
/// A bulk copy out of shared memory, in two steps that may lie apart: reading the source, writing the result.
/// </summary>
internal sealed class BulkStore(Warp warp, BulkShape shape, uint from, int lane) : AsyncOperation
{
    private byte[]? _data;

    public Warp Warp => warp;

    public int Lane => lane;

    public int Group { get; set; }

    public uint Sequence { get; private set; }

    /// <summary>Its thread has waited for it.</summary>
    public bool Waited { get; set; }

    public void Issue()
    {
        Block block = warp.Block;
        uint offset = from - Block.SharedBase;
        if (from < Block.SharedBase || offset + (uint)shape.Bytes > (uint)block.SharedBytes)
            throw warp.OutOfBounds("shared", from, shape.Bytes, lane, null, block);
        Sequence = warp.AddBulkStore(this, lane);
        if (warp.Cluster.Order is { } order)
            block.Shadow!.AsyncRead(warp, lane, offset, shape.Bytes, order.BulkGroups(warp.Global), Sequence);
    }

    public void ReadSource() => _data ??= shape.Gather(warp.Block, from);

    protected override void Complete(Cluster cluster)
    {
        ReadSource();
        shape.Store(_data!);
    }
}
