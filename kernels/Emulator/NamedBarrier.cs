namespace CudaLora.Kernels.Emulator;

/// <summary>How a bar.red combines its predicate.</summary>
internal enum BarrierReduction
{
    None, Count, And, Or,
}

/// <summary>One of a block's 16 barriers: completes when the expected number of warps has arrived.</summary>
internal sealed unsafe class NamedBarrier(Block block, int id)
{
    private readonly List<Warp> _waiting = [];
    private readonly HashSet<Warp> _arrived = [];
    private readonly uint* _published = block.Cluster.Order is { } order ? order.NewVector() : null;
    private int _expected;
    private int _count;

    public int Id => id;

    public IReadOnlyList<Warp> Waiting => _waiting;

    public bool InUse => _arrived.Count > 0;

    /// <summary>The first arrival's words for messages, for example "3 of 8 warps".</summary>
    public string Progress => $"{_arrived.Count} of {_expected} warps";

    public void Reset()
    {
        _waiting.Clear();
        Clear();
    }

    /// <summary>A warp arrives; with <paramref name="wait"/> it stays until the barrier completes.</summary>
    public void Arrive(Warp warp, int threads, bool wait, int trueLanes)
    {
        if (threads % 32 != 0 || threads < 0 || threads > 1024)
            throw warp.Fault(FaultKind.InvalidOperand,
                $"a barrier's thread count must be a multiple of 32 up to 1024, but got {threads}");
        int expected = threads == 0 ? block.Warps.Length : threads / 32;
        if (expected > block.Warps.Length)
            throw warp.Fault(FaultKind.MissingBarrier,
                $"barrier {id} waits for {expected} warps, but the block has {block.Warps.Length}");
        if (_arrived.Count > 0 && expected != _expected)
            throw warp.Fault(FaultKind.MissingBarrier,
                $"barrier {id} must be used with one thread count, but got {expected * 32} here and {_expected * 32} before");
        _expected = expected;
        if (!_arrived.Add(warp))
            throw warp.Fault(FaultKind.MissingBarrier, $"barrier {id} must complete before a warp arrives again");
        _count += trueLanes;
        if (_published != null) block.Cluster.Order!.Release(warp.Global, _published);
        if (wait)
        {
            _waiting.Add(warp);
            warp.State = WarpState.Blocked;
        }
        if (_arrived.Count == _expected) Complete();
    }

    private void Complete()
    {
        foreach (Warp warp in _waiting)
        {
            if (_published != null) block.Cluster.Order!.Acquire(warp.Global, _published);
            warp.State = WarpState.Ready;
            warp.TakeBarrierResult(_count, _expected * 32);
        }
        _waiting.Clear();
        block.Cluster.Progress++;
        Clear();
    }

    private void Clear()
    {
        _arrived.Clear();
        _count = 0;
        if (_published != null) block.Cluster.Order!.Clear(_published);
    }
}

/// <summary>The barrier over all warps of a cluster, with separate arrive and wait.</summary>
internal sealed unsafe class ClusterBarrier(Cluster cluster)
{
    private readonly HashSet<Warp> _arrived = [];
    private readonly HashSet<Warp> _passed = [];
    private readonly List<Warp> _waiting = [];
    private readonly uint* _gathering = cluster.Order is { } order ? order.NewVector() : null;
    private readonly uint* _published = cluster.Order is { } order ? order.NewVector() : null;

    public IReadOnlyList<Warp> Waiting => _waiting;

    public string Progress => $"{_arrived.Count} of {cluster.Warps.Count} warps";

    public void Reset()
    {
        _arrived.Clear();
        _passed.Clear();
        _waiting.Clear();
        if (_gathering == null) return;
        cluster.Order!.Clear(_gathering);
        cluster.Order.Clear(_published);
    }

    public void Arrive(Warp warp, bool release)
    {
        if (_passed.Contains(warp) || !_arrived.Add(warp))
            throw warp.Fault(FaultKind.MissingBarrier, "barrier.cluster.wait must come before a warp arrives again");
        if (_gathering != null)
        {
            if (release) cluster.Order!.Release(warp.Global, _gathering);
            else cluster.Order!.Tick(warp.Global);
        }
        if (_arrived.Count < cluster.Warps.Count) return;
        cluster.Progress++;
        foreach (Warp w in _arrived) _passed.Add(w);
        _arrived.Clear();
        if (_gathering != null)
        {
            cluster.Order!.Join(_published, _gathering);
            cluster.Order.Clear(_gathering);
        }
        foreach (Warp w in _waiting)
        {
            w.State = WarpState.Ready;
            Pass(w);
        }
        _waiting.Clear();
    }

    public void Wait(Warp warp)
    {
        if (_passed.Contains(warp))
        {
            Pass(warp);
            return;
        }
        if (!_arrived.Contains(warp))
            throw warp.Fault(FaultKind.MissingBarrier, "barrier.cluster.arrive must come before barrier.cluster.wait");
        _waiting.Add(warp);
        warp.State = WarpState.Blocked;
    }

    private void Pass(Warp warp)
    {
        _passed.Remove(warp);
        if (_published != null) cluster.Order!.Acquire(warp.Global, _published);
    }
}
