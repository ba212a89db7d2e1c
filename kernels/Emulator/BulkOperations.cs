namespace CudaLora.Kernels.Emulator;

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

    /// <summary>How each element is combined with what is there; null to overwrite.</summary>
    public LaneFunction? Reduce { get; set; }

    public int ElementSize { get; set; }

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
        if (Reduce is { } body) Shape.Reduce(_data, body, ElementSize);
        else Shape.Store(_data);
        if (!Waited) return;
        cluster.LateStores--;
        cluster.Stores.Return(this);
    }
}
