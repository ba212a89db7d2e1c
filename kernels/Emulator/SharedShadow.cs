using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// Who wrote and who read each granule of a block's shared memory, and when: finds races, reads of what was never
/// written, and missing proxy fences. A granule is the kernel's smallest access, so accesses cover whole granules.
/// </summary>
internal sealed unsafe class SharedShadow : IDisposable
{
    // Entry: clock 32 bits, component 12, lane 5, flag 1 (write: atomic, read: several lanes), instruction 14.
    private const ulong Flag = 1 << 14;
    private const int InstructionMask = (1 << 14) - 1;
    private readonly Block _block;
    private readonly HappensBefore _order;
    private readonly int _shift;
    private readonly int _columns;
    private readonly ulong* _writes;
    private readonly ulong* _reads;

    public SharedShadow(Block block, EmulatedKernel kernel)
    {
        _block = block;
        _order = block.Cluster.Order!;
        _shift = int.Log2(kernel.SharedGranule);
        _columns = _order.Warps * (kernel.UsesAsyncReads ? 2 : 1);
        nuint granules = (nuint)((block.SharedBytes >> _shift) + 1);
        _writes = (ulong*)NativeMemory.AllocZeroed(granules, 8);
        _reads = (ulong*)NativeMemory.AllocZeroed(granules * (nuint)_columns, 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Read(Warp warp, int lane, uint offset, int bytes)
    {
        uint* seen = _order.Of(warp.Global);
        ulong entry = Entry(seen[warp.Global], warp.Global, lane, warp);
        uint last = (offset + (uint)bytes - 1) >> _shift;
        for (uint g = offset >> _shift; g <= last; g++)
        {
            ulong write = _writes[g];
            if (!Ordered(seen, warp.Global, lane, write)) throw Race(warp, lane, g, write, "read", "write");
            if ((write >> 32) < _order.Base) throw Unwritten(warp, lane, g);
            NoteRead(ref _reads[(g * (uint)_columns) + (uint)warp.Global], entry);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Write(Warp warp, int lane, uint offset, int bytes, bool atomic)
    {
        uint* seen = _order.Of(warp.Global);
        ulong entry = Entry(seen[warp.Global], warp.Global, lane, warp) | (atomic ? Flag : 0);
        uint last = (offset + (uint)bytes - 1) >> _shift;
        for (uint g = offset >> _shift; g <= last; g++)
        {
            if (atomic && (_writes[g] >> 32) < _order.Base) throw Unwritten(warp, lane, g);
            bool bothAtomic = atomic && (_writes[g] & Flag) != 0;
            CheckBeforeWrite(warp, lane, seen, g, skipWrite: bothAtomic);
            _writes[g] = entry;
        }
    }

    /// <summary>
    /// Reads or writes of a whole warp, lane after lane; false, and nothing noted, when one of them is at fault.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public bool Line(Warp warp, uint offset, int bytes, Access access)
    {
        int perLane = bytes >> _shift, me = warp.Global;
        if (access == Access.Atomic || perLane == 0) return false;
        uint* seen = _order.Of(me);
        uint clock = seen[me], born = _order.Base, first = offset >> _shift;
        // All is checked before anything is noted.
        for (int k = 0; k < 32 * perLane; k++)
        {
            ulong write = _writes[first + k];
            if (access == Access.Read && (write >> 32) < born) return false;
            int lane = k / perLane;
            if (!Before(write, seen, me, lane, clock, born)) return false;
            if (access == Access.Read) continue;
            ulong* reads = _reads + ((first + (uint)k) * (nuint)_columns);
            for (int c = 0; c < _columns; c++)
            {
                if (!Before(reads[c], seen, me, lane, clock, born)) return false;
            }
        }
        ulong entry = Entry(clock, me, 0, warp);
        uint granule = first;
        for (int lane = 0; lane < 32; lane++, entry += 1 << 15)
        {
            for (int k = 0; k < perLane; k++, granule++)
            {
                if (access == Access.Write) _writes[granule] = entry;
                else NoteRead(ref _reads[(granule * (nuint)_columns) + (nuint)me], entry);
            }
        }
        return true;
    }

    /// <summary>Keeps one entry per epoch, with a flag when several lanes are behind it.</summary>
    private static void NoteRead(ref ulong mine, ulong entry)
    {
        bool sameEpoch = (mine >> 32) == (entry >> 32), otherLane = ((mine ^ entry) & (31 << 15)) != 0;
        mine = entry | (!sameEpoch ? 0 : otherLane ? Flag : mine & Flag);
    }

    /// <summary>
    /// True when an entry is older than the warp's present epoch, or this lane's own; what is less clear is false.
    /// </summary>
    private static bool Before(ulong entry, uint* seen, int warp, int lane, uint clock, uint born)
    {
        uint at = (uint)(entry >> 32);
        if (at < born) return true;
        int component = Component(entry);
        if (component != warp) return seen[component] >= at;
        return at < clock || ((((int)(entry >> 15) & 31) == lane) && (entry & Flag) == 0);
    }

    /// <summary>
    /// A copy that will write here later: ordered like a write now, and seen only by who waits for it.
    /// </summary>
    public void AsyncWrite(Warp warp, int lane, uint offset, int bytes, int component, uint sequence,
        bool atomic = false)
    {
        uint* seen = _order.Of(warp.Global);
        ulong entry = Entry(sequence, component, lane, warp) | (atomic ? Flag : 0);
        uint last = (offset + (uint)bytes - 1) >> _shift;
        for (uint g = offset >> _shift; g <= last; g++)
        {
            if (atomic && (_writes[g] >> 32) < _order.Base) throw Unwritten(warp, lane, g);
            CheckBeforeWrite(warp, lane, seen, g, skipWrite: atomic && (_writes[g] & Flag) != 0);
            _writes[g] = entry;
        }
    }

    /// <summary>A lane has waited for its copy: from now on it counts as the lane's own write.</summary>
    public void Landed(Warp warp, int lane, uint offset, int bytes, int component, uint sequence)
    {
        ulong now = Entry(_order.Clock(warp.Global), warp.Global, lane, warp) & ~(ulong)InstructionMask;
        Replace(offset, bytes, Key(component, sequence, lane), now);
    }

    /// <summary>Those who wait for the second component see a copy, instead of those of the first.</summary>
    public void Retie(uint offset, int bytes, (int Component, uint Sequence) from, (int Component, uint Sequence) to,
        int lane) =>
        Replace(offset, bytes, Key(from.Component, from.Sequence, lane), Key(to.Component, to.Sequence, lane));

    private static ulong Key(int component, uint sequence, int lane) =>
        ((ulong)sequence << 32) | ((ulong)(uint)component << 20) | ((ulong)(uint)lane << 15);

    /// <summary>Gives entries of one copy another clock; what has been written since stays.</summary>
    private void Replace(uint offset, int bytes, ulong from, ulong to)
    {
        uint last = (offset + (uint)bytes - 1) >> _shift;
        for (uint g = offset >> _shift; g <= last; g++)
        {
            if ((_writes[g] & ~(ulong)InstructionMask) == from)
                _writes[g] = to | (_writes[g] & InstructionMask);
        }
    }

    /// <summary>An asynchronous read through the async proxy that goes on until its group is waited for.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void AsyncRead(Warp warp, int lane, uint offset, int bytes, int component, uint sequence)
    {
        uint* seen = _order.Of(warp.Global);
        ulong entry = Entry(sequence, component, lane, warp);
        uint last = (offset + (uint)bytes - 1) >> _shift;
        for (uint g = offset >> _shift; g <= last; g++)
        {
            ulong write = _writes[g];
            if (!Ordered(seen, warp.Global, lane, write))
                throw Race(warp, lane, g, write, "asynchronous read", "write");
            if ((write >> 32) < _order.Base) throw Unwritten(warp, lane, g);
            int writer = Component(write);
            if (!_order.IsMBarrier(writer) && seen[_order.Width + writer] < (uint)(write >> 32))
                throw warp.Fault(FaultKind.MissingProxyFence,
                    $"shared memory at 0x{Address(g):X} was written by ordinary stores; fence.proxy.async must come between", lane,
                    (int)(write & InstructionMask));
            _reads[(g * (uint)_columns) + (uint)(_order.Warps + warp.Global)] = entry;
        }
    }

    public void Dispose()
    {
        NativeMemory.Free(_writes);
        NativeMemory.Free(_reads);
    }

    private static int Component(ulong entry) => (int)(entry >> 20) & 0xFFF;

    private static ulong Entry(uint clock, int component, int lane, Warp warp) => ((ulong)clock << 32)
        | ((ulong)(uint)component << 20) | ((ulong)(uint)Math.Max(lane, 0) << 15)
            | (uint)Math.Min(warp.Current.Index, InstructionMask);

    private uint Address(uint granule) => Block.SharedBase + (granule << _shift);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void CheckBeforeWrite(Warp warp, int lane, uint* seen, uint g, bool skipWrite)
    {
        ulong write = _writes[g];
        // Lanes of one instruction that store to one place: which of them is last is open, but that is no race.
        bool together = (write >> 20) == (Entry(seen[warp.Global], warp.Global, 0, warp) >> 20)
            && (int)(write & InstructionMask) == Math.Min(warp.Current.Index, InstructionMask);
        if (!skipWrite && !together && !Ordered(seen, warp.Global, lane, write))
            throw Race(warp, lane, g, write, "write", "write");
        ulong* reads = _reads + (g * (nuint)_columns);
        for (int c = 0; c < _columns; c++)
        {
            if (!Ordered(seen, warp.Global, lane, reads[c], Flag)) throw Race(warp, lane, g, reads[c], "write", "read");
        }
    }

    private bool Ordered(uint* seen, int warp, int lane, ulong entry, ulong severalLanes = 0)
    {
        uint clock = (uint)(entry >> 32);
        if (clock < _order.Base) return true;
        int component = Component(entry);
        if (component != warp) return seen[component] >= clock;
        return clock < seen[warp] || (((int)(entry >> 15) & 31) == lane && (entry & Flag & severalLanes) == 0);
    }

    private FaultSignal Unwritten(Warp warp, int lane, uint g) => warp.Fault(FaultKind.UninitialisedRead,
        $"shared memory at 0x{Address(g):X} must be written before it is read", lane);

    private FaultSignal Race(Warp warp, int lane, uint g, ulong entry, string access, string other)
    {
        if (_order.IsMBarrier(Component(entry))
            && _block.MBarriers.Values.FirstOrDefault(b =>
            b.Component == Component(entry)) is { PendingBytes: < 0 } barrier)
            return barrier.WrongBytes(warp, warp.Current,
                $"the phase completed {-barrier.PendingBytes} bytes before its copies: expect_tx was too small");
        int component = Component(entry), owner = HappensBefore.WarpOf(component, _order.Warps);
        string how = component < _order.Warps
            ? $"a {other} by warp {owner % _block.Warps.Length} lane {(int)(entry >> 15) & 31} with no barrier between"
            : _order.IsMBarrier(component)
                ? "an asynchronous copy whose mbarrier was not waited for"
                : $"asynchronous work of warp {owner % _block.Warps.Length} that was not waited for";
        return warp.Fault(FaultKind.SharedRace, $"{access} of shared memory at 0x{Address(g):X} races with {how}", lane,
            (int)(entry & InstructionMask));
    }
}
