namespace CudaLora.Kernels.Emulator;

/// <summary>
/// One lane's st.async or red.async: bytes for the shared memory of a block of the cluster, which complete on an
/// mbarrier there.
/// </summary>
internal sealed unsafe class RemoteOperation : AsyncOperation
{
    private Warp _warp = null!;
    private Instruction _instruction = null!;
    private MBarrier _barrier = null!;
    private byte* _to;
    private long _phase;
    private ulong _low, _high;

    private int Bytes => _instruction.Size * _instruction.Count;

    public void Start(Warp warp, byte* to, MBarrier barrier, ulong low, ulong high)
    {
        (_warp, _instruction, _barrier, _phase, _low, _high) = (warp, warp.Current, barrier, barrier.Phase, low, high);
        _to = to;
    }

    public override bool Targets(MBarrier barrier, long phase) => barrier == _barrier && phase == _phase;

    public override FaultSignal TooLate(MBarrier barrier) => barrier.WrongBytes(_warp, _instruction,
        $"the phase completes while {Bytes} bytes of this are still on their way: expect_tx was too small");

    public override FaultSignal? Abandoned() => _warp.Fault(FaultKind.EarlyExit,
        "an asynchronous store must be waited for before the cluster exits");

    protected override void Complete(Cluster cluster)
    {
        if (_instruction.Lane is { } reduce)
        {
            ulong old = Bytes == 8 ? *(ulong*)_to : *(uint*)_to;
            _low = reduce(old, _low, _low);
        }
        ulong* value = stackalloc ulong[2] { _low, _high };
        new ReadOnlySpan<byte>(value, Bytes).CopyTo(new Span<byte>(_to, Bytes));
        _barrier.CompleteBytes(_warp, _instruction, Bytes, _phase);
        cluster.Remotes.Return(this);
    }
}
