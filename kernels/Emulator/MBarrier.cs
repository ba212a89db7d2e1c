namespace CudaLora.Kernels.Emulator;

/// <summary>
/// The state behind a 64-bit mbarrier object: a phase completes when its arrivals are in and its transaction bytes
/// balance.
/// </summary>
internal sealed unsafe class MBarrier
{
    private readonly Cluster _cluster;
    private readonly uint* _gathering;
    private readonly uint* _published;
    private readonly int _maker;
    private readonly uint _madeAt;

    public MBarrier(Warp warp, Block block, uint address, int count)
    {
        (_cluster, Block, Address, Count, PendingArrivals) = (block.Cluster, block, address, count, count);
        Initialiser = warp;
        _maker = warp.Global;
        if (_cluster.Order is not { } order) return;
        Component = order.NextMBarrier();
        if (Component < 0)
            throw warp.Fault(FaultKind.MbarrierMisuse,
                $"a cluster may initialise {HappensBefore.MaxMBarriers} mbarriers here");
        Sequence = order.Base;
        _madeAt = order.Clock(warp.Global);
        _gathering = order.BorrowVector();
        _published = order.BorrowVector();
    }

    public Block Block { get; }

    public uint Address { get; }

    /// <summary>Arrivals that the coming phases take; arrive_drop lowers it.</summary>
    public int Count { get; private set; }

    public int PendingArrivals { get; private set; }

    public long PendingBytes { get; private set; }

    /// <summary>Phases completed.</summary>
    public long Phase { get; private set; }

    /// <summary>Bits of <see cref="State"/> that hold the phase; above them are the arrivals still missing.</summary>
    public const int StatePhaseBits = 40;

    /// <summary>The opaque state that an arrival returns: the phase, and what was missing before.</summary>
    public ulong State => (ulong)Phase | ((ulong)PendingArrivals << StatePhaseBits);

    /// <summary>True when the phase of a state has completed.</summary>
    public bool IsPast(ulong state) => Phase > (long)(state & ((1ul << StatePhaseBits) - 1));

    public int Component { get; }

    /// <summary>Clock value of the phase in progress.</summary>
    public uint Sequence { get; private set; }

    /// <summary>The warp that initialised it, until a fence made that visible to the async proxy.</summary>
    public Warp? Initialiser { get; set; }

    public int LastExpectInstruction { get; private set; } = -1;

    /// <summary>Throws unless the initialisation is before what this warp does now.</summary>
    public void CheckSeen(Warp warp, int lane)
    {
        if (_gathering == null || warp.Global == _maker || _cluster.Order!.Of(warp.Global)[_maker] >= _madeAt) return;
        throw warp.Fault(FaultKind.SharedRace,
            $"the mbarrier at 0x{Address:X} was initialised by another warp with no barrier between", lane);
    }

    public void Arrive(Warp warp, int count, bool release = true)
    {
        if (count > PendingArrivals)
            throw warp.Fault(FaultKind.MbarrierMisuse,
                $"the mbarrier at 0x{Address:X} takes {Count} arrivals a phase, but got {count} with {PendingArrivals} left");
        if (_gathering != null && release) _cluster.Order!.Release(warp.Global, _gathering);
        PendingArrivals -= count;
        _cluster.Progress++;
        CompleteIfReady();
    }

    /// <summary>Arrives, and takes as many arrivals off every later phase.</summary>
    public void ArriveAndDrop(Warp warp, int count, bool release)
    {
        if (count > Count)
            throw warp.Fault(FaultKind.MbarrierMisuse,
                $"the mbarrier at 0x{Address:X} takes {Count} arrivals a phase, but {count} are dropped");
        Count -= count;
        Arrive(warp, count, release);
    }

    /// <summary>The phase takes one arrival more, which an asynchronous operation will make.</summary>
    public void ExpectArrival() => PendingArrivals++;

    public void ExpectBytes(Warp warp, long bytes)
    {
        LastExpectInstruction = warp.Current.Index;
        PendingBytes += bytes;
    }

    /// <summary>Bytes of a copy that was issued in <paramref name="phase"/> have landed.</summary>
    public void CompleteBytes(Warp issuer, Instruction instruction, long bytes, long phase)
    {
        PendingBytes -= bytes;
        if (phase != Phase && issuer.Checks)
            throw WrongBytes(issuer, instruction,
                $"the phase completed before {bytes} bytes of this copy landed: expect_tx was too small");
        _cluster.Progress++;
        CompleteIfReady();
    }

    /// <summary>True when the phase with that parity has completed; the warp then sees what was published.</summary>
    public bool Test(Warp warp, uint parity)
    {
        if ((Phase & 1) == (parity & 1)) return false;
        if (_published != null) _cluster.Order!.Acquire(warp.Global, _published);
        return true;
    }

    public FaultSignal WrongBytes(Warp warp, Instruction at, string what) => new(new EmulatorFault(
        FaultKind.WrongExpectTx, $"mbarrier at 0x{Address:X}: {what}", _cluster.Launch.Kernel.Name,
        _cluster.Launch.Kernel.Source.Module.FileName, at.Line, at.Source.FullName, warp.Block.GridIndex.ToDim3(),
            warp.Index, -1,
        LastExpectInstruction >= 0 ? _cluster.Launch.Kernel.Code[LastExpectInstruction].Line : 0));

    private void CompleteIfReady()
    {
        if (PendingArrivals > 0 || PendingBytes != 0) return;
        if (_gathering != null)
        {
            foreach (AsyncOperation operation in _cluster.Pending)
            {
                if (operation.Targets(this, Phase)) throw operation.TooLate(this);
            }
        }
        PendingArrivals = Count;
        Phase++;
        _cluster.Progress++;
        if (_gathering == null) return;
        _cluster.Order!.Join(_published, _gathering);
        _published[Component] = Sequence++;
        _cluster.Order.Clear(_gathering);
    }
}
