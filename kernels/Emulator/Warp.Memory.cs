using System.Numerics;
using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Emulator;

internal enum Access
{
    Read, Write, Atomic,
}

internal sealed unsafe partial class Warp
{
    private Allocation? _recent;

    /// <summary>
    /// Fills <see cref="Addresses"/> and <see cref="Pointers"/> for the lanes that run, after checking bounds,
    /// alignment, what was written, and races; and counts the access.
    /// </summary>
    public void Resolve(Instruction i, int bytes, Access access) => ResolveLanes(i, Exec, bytes, access);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void ResolveLanes(Instruction i, uint lanes, int bytes, Access access)
    {
        (int row, long offset, bool wide, Space space) = (i.A, i.Offset, i.WideAddress, i.Space);
        IsConsecutive = false;
        if (space == Space.Global && wide && row >= 0 && lanes == uint.MaxValue && ResolveLine(i, bytes, access)) return;
        uint shared = 0, local = 0, global = 0;
        byte* regs = Regs;
        for (uint m = lanes; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong address = (ulong)offset;
            if (row >= 0) address += wide ? ((ulong*)(regs + row))[lane] : ((uint*)(regs + row))[lane];
            if (space is Space.Shared or Space.SharedCluster or Space.Local && !wide) address = (uint)address;
            if (space == Space.Generic)
            {
                uint bit = 1u << lane;
                if (Windows.IsShared(address))
                {
                    address -= Windows.Shared;
                    shared |= bit;
                }
                else if (Windows.IsLocal(address))
                {
                    address -= Windows.Local;
                    local |= bit;
                }
                else
                {
                    global |= bit;
                }
            }
            Addresses[lane] = address;
        }
        switch (space)
        {
            case Space.Global or Space.Const:
                ResolveGlobal(lanes, bytes, access, counted: space == Space.Global);
                break;
            case Space.Shared:
                ResolveShared(lanes, bytes, access, cluster: false);
                break;
            case Space.SharedCluster:
                ResolveShared(lanes, bytes, access, cluster: true);
                break;
            case Space.Local:
                ResolveLocal(lanes, bytes, access);
                break;
            default:
                if (global != 0) ResolveGlobal(global, bytes, access, counted: true);
                if (shared != 0) ResolveShared(shared, bytes, access, cluster: true);
                if (local != 0) ResolveLocal(local, bytes, access);
                break;
        }
    }

    /// <summary>Host pointer to global memory that this warp accesses; checks as asked.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public byte* GlobalPointer(ulong address, int bytes, Access access, int lane, bool markWritten = true)
    {
        Allocation? a = _recent;
        if (a is null || !a.Holds(address, bytes))
        {
            a = Cluster.Launch.Emulator.Memory.Find(address);
            if (a is null || !a.Holds(address, bytes)) throw OutOfBounds("global", address, bytes, lane, a);
            _recent = a;
        }
        ulong at = address - a.Address;
        if (a.Written != null)
        {
            byte* written = a.Written + at;
            if (access == Access.Write && markWritten) new Span<byte>(written, bytes).Fill(1);
            else if (access != Access.Write && !AllWritten(written, bytes)) throw Unwritten("global", address, lane);
        }
        return a.Data + at;
    }

    /// <summary>Shadow of global memory that <see cref="GlobalPointer"/> just found; 0 when there is none.</summary>
    public nint WrittenPointer(ulong address) => _recent!.Written == null ? 0
        : (nint)(_recent.Written + (address - _recent.Address));

    /// <summary>Counts a read whose addresses are in <see cref="Addresses"/>.</summary>
    public void CountGlobalRead(uint lanes, int bytes)
    {
        CurrentCounters.GlobalReadBytes += (long)BitOperations.PopCount(lanes) * bytes;
        CurrentCounters.GlobalSectors += AccessCounting.Sectors(Addresses, lanes, bytes);
    }

    /// <summary>
    /// Resolves the shared destinations of a cp.async: written later, seen by who waits for the group.
    /// </summary>
    private void ResolveAsyncWrite(Instruction i, int bytes, int component, uint sequence)
    {
        for (uint m = Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong address = (ulong)i.Offset;
            if (i.A >= 0) address += i.WideAddress ? ((ulong*)(Regs + i.A))[lane] : ((uint*)(Regs + i.A))[lane];
            address = (uint)address;
            if ((address & (ulong)(bytes - 1)) != 0) throw Misaligned("shared", address, bytes, lane);
            ulong offset = address - Block.SharedBase;
            if (offset >= (ulong)Block.SharedBytes || offset + (ulong)bytes > (ulong)Block.SharedBytes)
                throw OutOfBounds("shared", address, bytes, lane, null, Block);
            Pointers[lane] = Block.Shared + offset;
            Addresses[lane] = address;
            Block.Shadow?.AsyncWrite(this, lane, (uint)offset, bytes, component, sequence);
        }
        CurrentCounters.SharedAccesses++;
        CurrentCounters.BankConflicts += AccessCounting.ExtraWavefronts(Addresses, Exec, bytes);
    }

    private static bool AllWritten(byte* written, int bytes)
    {
        switch (bytes)
        {
            case 1: return *written == 1;
            case 2: return *(ushort*)written == 0x0101;
            case 4: return *(uint*)written == 0x01010101;
            case 8: return *(ulong*)written == 0x0101010101010101;
            default: return new ReadOnlySpan<byte>(written, bytes).IndexOf((byte)0) < 0;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ResolveGlobal(uint lanes, int bytes, Access access, bool counted)
    {
        for (uint m = lanes; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong address = Addresses[lane];
            if ((address & (ulong)(bytes - 1)) != 0) throw Misaligned("global", address, bytes, lane);
            Pointers[lane] = GlobalPointer(address, bytes, access, lane);
        }
        if (!counted) return;
        if (Cluster.Races is { } races && RaceRecord(races) is not 0 and uint record)
            races.Lanes(this, Current, record, lanes, bytes, access != Access.Read);
        ref Counters c = ref CurrentCounters;
        long total = (long)BitOperations.PopCount(lanes) * bytes;
        if (access == Access.Read) c.GlobalReadBytes += total;
        else c.GlobalWriteBytes += total;
        c.GlobalSectors += AccessCounting.Sectors(Addresses, lanes, bytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ResolveShared(uint lanes, int bytes, Access access, bool cluster)
    {
        bool checks = _checks;
        ulong low = ulong.MaxValue, high = 0;
        for (uint m = lanes; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong address = Addresses[lane];
            low = Math.Min(low, address);
            high = Math.Max(high, address);
            if ((address & (ulong)(bytes - 1)) != 0) throw Misaligned("shared", address, bytes, lane);
            Block block = cluster ? Owner(ref address, lane) : Block;
            ulong offset = address - Block.SharedBase;
            if (offset >= (ulong)block.SharedBytes || offset + (ulong)bytes > (ulong)block.SharedBytes)
                throw OutOfBounds("shared", address, bytes, lane, null, block);
            Pointers[lane] = block.Shared + offset;
            if (!checks) continue;
            if (address >= block.MBarrierLow && address <= block.MBarrierHigh
                && block.MBarriers.ContainsKey((uint)address & ~7u))
                throw Fault(FaultKind.MbarrierMisuse,
                    $"an mbarrier lives at 0x{address & ~7u:X}; ordinary accesses may not touch it", lane);
            if (access == Access.Read) block.Shadow!.Read(this, lane, (uint)offset, bytes);
            else block.Shadow!.Write(this, lane, (uint)offset, bytes, access == Access.Atomic);
        }
        ref Counters c = ref CurrentCounters;
        c.SharedAccesses++;
        // Words of one 128-byte line lie in different banks.
        if (bytes > 4 || (low ^ high) >> 7 != 0)
            c.BankConflicts += AccessCounting.ExtraWavefronts(Addresses, lanes, bytes);
    }

    /// <summary>
    /// The block of the cluster that an address of the cluster window names; leaves the address inside it.
    /// </summary>
    public Block Owner(ref ulong address, int lane)
    {
        ulong rank = address >> 24;
        if (rank == 0) return Block;
        if (rank > (ulong)Cluster.Blocks.Length)
            throw Fault(FaultKind.OutOfBounds,
                $"the cluster has {Cluster.Blocks.Length} blocks, but shared address 0x{address:X} names block {rank - 1}", lane);
        Block owner = Cluster.Blocks[rank - 1];
        address &= 0xFFFFFF;
        if (owner != Block && Array.TrueForAll(owner.Warps, w => w.State == WarpState.Done))
            throw Fault(FaultKind.EarlyExit,
                $"block {owner.Rank} of the cluster must still run while its shared memory is used", lane);
        return owner;
    }

    private FaultSignal Unwritten(string space, ulong address, int lane) =>
        Fault(FaultKind.UninitialisedRead, $"{space} memory at 0x{address:X} must be written before it is read", lane);

    public FaultSignal Misaligned(string space, ulong address, int bytes, int lane) =>
        Fault(FaultKind.Misaligned,
            $"a {bytes}-byte {space} access needs an address that is a multiple of {bytes}, but got 0x{address:X}",
            lane);

    public FaultSignal OutOfBounds(string space, ulong address, int bytes, int lane, Allocation? near,
        Block? block = null)
    {
        string where = block is not null
            ? $"shared memory is 0x{Block.SharedBase:X}..0x{Block.SharedBase + (uint)block.SharedBytes:X}"
            : space == "local" ? $"a thread has {_kernel.LocalBytes} bytes"
            : near is null ? "no live allocation there"
            : $"the allocation at 0x{near.Address:X} has {near.Size} bytes";
        return Fault(FaultKind.OutOfBounds, $"{bytes} bytes at {space} address 0x{address:X}: {where}", lane);
    }
}
