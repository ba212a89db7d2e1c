namespace CudaLora.Kernels.Emulator;

/// <summary>Rows of bytes between a box in shared memory and global memory.</summary>
internal sealed unsafe class BulkShape
{
    private readonly List<(nint Global, nint Written, int First, int Length)> _rows = [];

    public int RowBytes { get; private set; }

    public int Swizzling { get; private set; }

    /// <summary>Bytes in shared memory, which is also what the mbarrier counts.</summary>
    public int Bytes => _rows.Count * RowBytes;

    public long GlobalBytes { get; private set; }

    public long Sectors { get; private set; }

    public void Line(Warp w, ulong global, int bytes, Access access, int lane)
    {
        Clear(bytes, 0);
        AddRow(w, global, 0, bytes, access, lane);
    }

    public void Box(Warp w, TensorMapFields map, ReadOnlySpan<int> start, ReadOnlySpan<int> offsets, Access access,
        int lane)
    {
        Clear(map.RowBytes, map.Swizzle);
        int rows = map.Rows;
        for (int r = 0; r < rows; r++)
        {
            (ulong address, int first, int length) = map.IsIm2Col ? map.Pixel(r, start, offsets) : map.Row(r, start);
            AddRow(w, address, first, length, access, lane);
        }
    }

    private void Clear(int rowBytes, int swizzle)
    {
        _rows.Clear();
        (RowBytes, Swizzling, GlobalBytes, Sectors) = (rowBytes, swizzle, 0, 0);
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
    public void Gather(Block block, uint from, ref byte[] data)
    {
        if (data.Length < Bytes) data = new byte[Bytes];
        for (int at = 0; at < Bytes; at += 16)
        {
            uint address = Swizzle.Apply(from + (uint)at, Swizzling);
            new ReadOnlySpan<byte>(block.Shared + (address - Block.SharedBase), 16).CopyTo(data.AsSpan(at));
        }
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
internal sealed class BulkLoad : AsyncOperation
{
    private readonly List<(Block Block, MBarrier Barrier, long Phase)> _targets = [];
    private Warp _warp = null!;
    private Instruction _instruction = null!;
    private uint _to;

    public BulkShape Shape { get; } = new();

    /// <summary>Begins a copy of <see cref="Shape"/> to an address of each target.</summary>
    public void Start(Warp warp, uint to)
    {
        (_warp, _instruction, _to) = (warp, warp.Current, to);
        _targets.Clear();
    }

    public void Add(Block block, MBarrier barrier, int lane)
    {
        uint offset = _to - Block.SharedBase;
        if (_to < Block.SharedBase || offset + (uint)Shape.Bytes > (uint)block.SharedBytes)
            throw _warp.OutOfBounds("shared", _to, Shape.Bytes, lane, null, block);
        if (_warp.Checks && barrier.Initialiser is not null)
            throw _warp.Fault(FaultKind.MissingProxyFence,
                $"the mbarrier at 0x{barrier.Address:X} was initialised by ordinary means; fence.mbarrier_init or fence.proxy.async must come between", lane);
        block.Shadow?.AsyncWrite(_warp, lane, offset, Shape.Bytes, barrier.Component, barrier.Sequence);
        _targets.Add((block, barrier, barrier.Phase));
    }

    public override bool Targets(MBarrier barrier, long phase)
    {
        foreach ((_, MBarrier own, long at) in _targets)
        {
            if (own == barrier && at == phase) return true;
        }
        return false;
    }

    public override FaultSignal TooLate(MBarrier barrier) => barrier.WrongBytes(_warp, _instruction,
        $"the phase completes while {Shape.Bytes} bytes of this copy are still on their way: expect_tx was too small");

    public override FaultSignal? Abandoned() => _warp.Fault(FaultKind.EarlyExit,
        "a bulk copy into shared memory must be waited for before the block exits");

    protected override void Complete(Cluster cluster)
    {
        foreach ((Block block, MBarrier barrier, long phase) in _targets)
        {
            Shape.Load(block, _to);
            barrier.CompleteBytes(_warp, _instruction, Shape.Bytes, phase);
        }
        cluster.Loads.Return(this);
    }
}

/// <summary>
/// A bulk copy out of shared memory, in two steps that may lie apart: reading the source, writing the result.
/// </summary>
internal sealed class BulkStore : AsyncOperation
{
    private byte[] _data = [];
    private bool _read;
    private Warp _warp = null!;
    private uint _from;

    public BulkShape Shape { get; } = new();

    public int Lane { get; private set; }

    public int Group { get; set; }

    public uint Sequence { get; private set; }

    /// <summary>Its thread has waited for it.</summary>
    public bool Waited { get; set; }

    /// <summary>Begins a copy of <see cref="Shape"/> from an address of the warp's block.</summary>
    public void Start(Warp warp, uint from, int lane)
    {
        (_warp, _from, Lane, _read, Waited) = (warp, from, lane, false, false);
        Block block = warp.Block;
        uint offset = from - Block.SharedBase;
        if (from < Block.SharedBase || offset + (uint)Shape.Bytes > (uint)block.SharedBytes)
            throw warp.OutOfBounds("shared", from, Shape.Bytes, lane, null, block);
        Sequence = warp.AddBulkStore(this, lane);
        if (warp.Cluster.Order is { } order)
            block.Shadow!.AsyncRead(warp, lane, offset, Shape.Bytes, order.BulkGroups(warp.Global), Sequence);
    }

    public void ReadSource()
    {
        if (_read) return;
        Shape.Gather(_warp.Block, _from, ref _data);
        _read = true;
    }

    protected override void Complete(Cluster cluster)
    {
        ReadSource();
        Shape.Store(_data);
        if (!Waited) return;
        cluster.LateStores--;
        cluster.Stores.Return(this);
    }
}
