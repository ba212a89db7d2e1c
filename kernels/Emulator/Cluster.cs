namespace CudaLora.Kernels.Emulator;

/// <summary>
/// The blocks of one cluster (one block where there are no clusters), run together by one thread: a scheduler that
/// interleaves their warps in seeded random order and completes asynchronous work as late or early as asked.
/// </summary>
internal sealed unsafe class Cluster : IDisposable
{
    private const int SliceInstructions = 1 << 20;
    private const int PollLimit = 64;
    private readonly Warp[] _warps;
    private readonly List<Warp> _ready;
    private readonly bool _checks;
    private ulong _random;
    private readonly uint* _fenced;
    private int _live;

    public Cluster(Launch launch, Counters[] counters, RaceWatch? races)
    {
        (Launch, Races) = (launch, races);
        _checks = launch.Options.Checks;
        int blocks = (int)launch.ClusterShape.Count, warps = blocks * ((launch.Threads + 31) / 32);
        Order = _checks ? new HappensBefore(warps) : null;
        Blocks = new Block[blocks];
        for (int b = 0; b < blocks; b++) Blocks[b] = new Block(this, b, counters);
        _warps = [.. Blocks.SelectMany(b => b.Warps)];
        _ready = new List<Warp>(warps);
        _fenced = Order is null ? null : Order.NewVector();
        Barrier = new ClusterBarrier(this);
    }

    public Launch Launch { get; }

    public Block[] Blocks { get; }

    public IReadOnlyList<Warp> Warps => _warps;

    /// <summary>Watches global memory; null when races there are not asked for.</summary>
    public RaceWatch? Races { get; }

    /// <summary>What the race records of this cluster's run point at.</summary>
    public GridMember? Member { get; private set; }

    public HappensBefore? Order { get; }

    public ClusterBarrier Barrier { get; }

    /// <summary>Asynchronous work that has not completed, oldest first.</summary>
    public List<AsyncOperation> Pending { get; } = [];

    /// <summary>Bulk stores whose threads have waited for the reading only.</summary>
    public int LateStores { get; set; }

    public OperationPool<CopyOperation> Copies { get; } = new();

    public OperationPool<CopyArrival> Arrivals { get; } = new();

    public OperationPool<BulkLoad> Loads { get; } = new();

    public OperationPool<BulkStore> Stores { get; } = new();

    public OperationPool<RemoteOperation> Remotes { get; } = new();

    public OperationPool<WgmmaOperation> Products { get; } = new();

    /// <summary>Scratch for the tensor map that a bulk copy names.</summary>
    public TensorMapFields MapFields { get; } = new();

    /// <summary>Grows whenever something happens that a waiting warp may wait for.</summary>
    public long Progress { get; set; }

    /// <summary>Index of the cluster's first block in each dimension, in clusters.</summary>
    public Extent Index { get; private set; }

    public void Start(long linear)
    {
        Extent shape = Launch.ClusterShape, grid = Launch.Grid;
        var clusters = new Extent(grid.X / shape.X, grid.Y / shape.Y, grid.Z / shape.Z);
        Index = clusters.At(linear);
        _random = (Launch.Options.Seed * 0x9E3779B97F4A7C15) ^ (
            (ulong)linear * 0xD1B54A32D192ED03) ^ 0x2545F4914F6CDD1D;
        Pending.Clear();
        LateStores = 0;
        Member = Races is null ? null : new GridMember(linear);
        Order?.StartBlocks();
        if (Order is not null) Order.Clear(_fenced);
        Barrier.Reset();
        _live = _warps.Length;
        foreach (Block block in Blocks)
        {
            block.Start(Launch.BlockIndex(linear, block.Rank));
        }
    }

    /// <summary>A random number below <paramref name="bound"/>, by seed.</summary>
    public int Random(int bound)
    {
        _random ^= _random << 13;
        _random ^= _random >> 7;
        _random ^= _random << 17;
        return (int)((_random >> 33) % (uint)bound);
    }

    /// <summary>Runs until the cluster ends (true) or its slice is used up (false).</summary>
    public bool RunSlice()
    {
        long used = 0, charged = 0;
        while (_live > 0)
        {
            Warp? warp = Pick();
            if (warp is null)
            {
                Unblock();
                continue;
            }
            warp.State = WarpState.Ready;
            used += warp.Run(_checks ? 1 + Random(48) : 4096);
            if (Launch.Options.Schedule == AsyncSchedule.Random && Pending.Count > 0 && Random(4) == 0) CompleteOne();
            if (used - charged < SliceInstructions / 16) continue;
            if (!Launch.Spend(used - charged))
                throw warp.Fault(FaultKind.InstructionBudget,
                    $"the launch must end within {Launch.Options.InstructionBudget} warp instructions, but was still here");
            charged = used;
            if (Launch.Stopped) return true;
            if (used >= SliceInstructions) return false;
        }
        Launch.Spend(used - charged);
        EndChecks.Run(this);
        return true;
    }

    public void OnWarpDone(Warp warp)
    {
        _live--;
        Progress++;
        EndChecks.OnWarpDone(warp);
    }

    public void Enqueue(AsyncOperation operation)
    {
        if (Launch.Options.Schedule == AsyncSchedule.Eager)
        {
            operation.Finish(this);
            return;
        }
        Pending.Add(operation);
    }

    /// <summary>
    /// A fence or an ordered atomic: what this warp did is published, and what others published so is seen. This is
    /// more order than the ISA gives (the address does not matter), so no false race comes from it.
    /// </summary>
    public void Synchronise(Warp warp)
    {
        if (Order is null) return;
        Order.Release(warp.Global, _fenced);
        Order.Acquire(warp.Global, _fenced);
        Races?.Synchronised(Member!);
    }

    public void CompleteOne() => Pending[Random(Pending.Count)].Finish(this);

    public void Dispose()
    {
        foreach (Block block in Blocks) block.Dispose();
        Order?.Dispose();
    }

    private Warp? Pick()
    {
        _ready.Clear();
        foreach (Warp warp in _warps)
        {
            if (warp.State == WarpState.Ready || (warp.State == WarpState.Polling && warp.PolledAt != Progress))
                _ready.Add(warp);
        }
        if (_ready.Count == 0) return null;
        return _ready[Random(_ready.Count)];
    }

    /// <summary>
    /// Nothing can run: complete something asynchronous, let pollers poll again, or report the deadlock.
    /// </summary>
    private void Unblock()
    {
        if (Pending.Count > 0)
        {
            CompleteOne();
            return;
        }
        bool any = false;
        foreach (Warp warp in _warps)
        {
            if (warp.State != WarpState.Polling || ++warp.FruitlessPolls > PollLimit) continue;
            warp.PolledAt = -1;
            any = true;
        }
        if (!any) throw DeadlockReport.Describe(this);
    }
}
