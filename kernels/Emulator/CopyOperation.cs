using System.Numerics;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// The copies of one cp.async instruction, a part per lane. The bytes of all parts may land at any time; a part counts
/// as seen when its own lane waits for the group it is in, or by who waits for the mbarrier it was tied to.
/// </summary>
internal sealed unsafe class CopyOperation : AsyncOperation
{
    private readonly Part[] _parts = new Part[32];
    private uint _landed;

    /// <summary>Lanes that have not waited for their part.</summary>
    public uint Waiting { get; private set; }

    public void Add(int lane, in Part part)
    {
        _parts[lane] = part;
        Waiting |= 1u << lane;
        _landed &= ~(1u << lane);
    }

    /// <summary>Starts an operation with no parts.</summary>
    public void Clear() => (Waiting, _landed) = (0, uint.MaxValue);

    /// <summary>Lands what lanes wait for, of groups up to each lane's last.</summary>
    public void Wait(Warp warp, uint lanes, int* last)
    {
        for (uint m = lanes & Waiting; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            if (_parts[lane].Group > last[lane]) continue;
            Land(lane);
            Waiting &= ~(1u << lane);
            ref Part p = ref _parts[lane];
            warp.Block.Shadow?.Landed(warp, lane, p.Offset, p.Bytes, p.Component, p.Sequence);
        }
    }

    /// <summary>What a lane has in flight is from now on seen by who waits for the barrier's phase.</summary>
    public void Tie(Warp warp, int lane, MBarrier barrier)
    {
        ref Part p = ref _parts[lane];
        warp.Block.Shadow?.Retie(p.Offset, p.Bytes, (p.Component, p.Sequence), (barrier.Component, barrier.Sequence),
            lane);
        (p.Component, p.Sequence) = (barrier.Component, barrier.Sequence);
    }

    public void Land(int lane)
    {
        if ((_landed >> lane & 1) != 0) return;
        _landed |= 1u << lane;
        ref Part p = ref _parts[lane];
        var target = new Span<byte>((byte*)p.To, p.Bytes);
        new ReadOnlySpan<byte>((byte*)p.From, p.Valid).CopyTo(target);
        target[p.Valid..].Clear();
    }

    protected override void Complete(Cluster cluster)
    {
        for (uint m = ~_landed; m != 0; m &= m - 1) Land(BitOperations.TrailingZeroCount(m));
    }

    /// <summary>One lane's copy, its group, and the clock by which the shadow of shared memory knows it.</summary>
    public record struct Part(nint To, nint From, int Bytes, int Valid, int Group, uint Offset, int Component,
        uint Sequence);
}

/// <summary>cp.async.mbarrier.arrive: arrives when the copies that its lanes had in flight have landed.</summary>
internal sealed class CopyArrival : AsyncOperation
{
    private readonly List<(CopyOperation Copy, long Serial)> _copies = [];
    private readonly MBarrier?[] _barriers = new MBarrier?[32];
    private Warp _warp = null!;

    public void Start(Warp warp)
    {
        _warp = warp;
        _copies.Clear();
        Array.Clear(_barriers);
    }

    public void Add(CopyOperation copy) => _copies.Add((copy, copy.Serial));

    public void Add(int lane, MBarrier barrier) => _barriers[lane] = barrier;

    protected override void Complete(Cluster cluster)
    {
        for (int lane = 0; lane < 32; lane++)
        {
            if (_barriers[lane] is not { } barrier) continue;
            foreach ((CopyOperation copy, long serial) in _copies)
            {
                if (copy.Serial == serial && (copy.Waiting >> lane & 1) != 0) copy.Land(lane);
            }
            barrier.Arrive(_warp, 1, release: false);
        }
        cluster.Arrivals.Return(this);
    }
}
