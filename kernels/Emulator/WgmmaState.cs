namespace CudaLora.Kernels.Emulator;

/// <summary>
/// What a warp's wgmma have in flight: groups, and the registers that nothing else may touch until they are waited for.
/// </summary>
internal sealed class WgmmaState(int registers)
{
    private readonly int[] _pinned = new int[registers];
    private readonly long[] _touched = new long[registers];
    private readonly List<WgmmaOperation> _operations = [];
    private int _pinnedCount;
    private long _serial;
    private long _fencedAt;
    private uint _open;

    /// <summary>wgmma issued since the block started.</summary>
    public int Issued { get; private set; }

    /// <summary>Sequence number of the open group.</summary>
    public uint OpenGroup => _open;

    public WgmmaOperation? Last => _operations.Count > 0 ? _operations[^1] : null;

    public void Reset(uint baseClock)
    {
        Array.Clear(_pinned);
        Array.Clear(_touched);
        _operations.Clear();
        (_pinnedCount, _serial, _fencedAt, _open, Issued) = (0, 0, -1, baseClock, 0);
    }

    public void Fence() => _fencedAt = _serial;

    public void Commit() => _open++;

    public void Add(WgmmaOperation operation)
    {
        _operations.Add(operation);
        Issued++;
        foreach (int r in operation.Registers)
        {
            if (_pinned[r]++ == 0) _pinnedCount++;
        }
    }

    /// <summary>Completes all groups but the last <paramref name="leave"/>; gives the last completed group.</summary>
    public uint Wait(Cluster cluster, int leave)
    {
        uint upTo = _open - (uint)leave - 1;
        int finished = 0;
        foreach (WgmmaOperation operation in _operations)
        {
            if (operation.Group > upTo) break;
            operation.Finish(cluster);
            foreach (int r in operation.Registers)
            {
                if (--_pinned[r] == 0) _pinnedCount--;
            }
            finished++;
            cluster.Products.Return(operation);
        }
        _operations.RemoveRange(0, finished);
        // What the oldest came after is done, and its object may soon be another operation.
        if (_operations.Count > 0) _operations[0].After = null;
        return upTo;
    }

    /// <summary>Checks the registers of one instruction before it runs.</summary>
    public void Check(Warp warp, Instruction i)
    {
        if (i.IsWgmma)
        {
            if (_fencedAt < 0)
                throw warp.Fault(FaultKind.MissingWgmmaFence, "wgmma.fence must come before the first wgmma.mma_async");
            foreach (int r in i.Registers)
            {
                if (_touched[r] > _fencedAt)
                    throw warp.Fault(FaultKind.MissingWgmmaFence,
                        $"wgmma.fence must come between an access to register {warp.RegisterName(r)} and wgmma.mma_async");
            }
            return;
        }
        _serial++;
        Touch(warp, i.Reads);
        Touch(warp, i.Writes);
    }

    private void Touch(Warp warp, int[] registers)
    {
        foreach (int r in registers)
        {
            if (_pinnedCount > 0 && _pinned[r] > 0)
                throw warp.Fault(FaultKind.WgmmaRegisterInFlight,
                    $"register {warp.RegisterName(r)} belongs to a wgmma in flight; wgmma.wait_group must come first");
            _touched[r] = _serial;
        }
    }
}

/// <summary>One warp's part (16 rows) of a wgmma.</summary>
internal sealed class WgmmaOperation : AsyncOperation
{
    private Warp _warp = null!;
    private Instruction _instruction = null!;
    private WgmmaOperands _operands;

    public uint Group { get; private set; }

    public int[] Registers => _instruction.Registers;

    public void Start(Warp warp, Instruction instruction, in WgmmaOperands operands, uint group) =>
        (_warp, _instruction, _operands, Group) = (warp, instruction, operands, group);

    protected override void Complete(Cluster cluster) => _operands.Multiply(_warp, _instruction);
}
