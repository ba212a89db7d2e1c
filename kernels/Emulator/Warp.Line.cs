using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// The common access of a whole warp to one line of global memory, lane after lane: resolved, checked and counted as
/// one range.
/// </summary>
internal sealed unsafe partial class Warp
{
    /// <summary>The last access resolved was such a line, which starts at the first of <see cref="Pointers"/>.</summary>
    public bool IsConsecutive { get; private set; }

    /// <summary>False when the access is no such line, or has a fault: then it is looked at lane by lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool ResolveLine(Instruction i, int bytes, Access access)
    {
        ulong* rows = (ulong*)(Regs + i.A);
        ulong first = rows[0] + (ulong)i.Offset, size = (ulong)bytes;
        Vector256<ulong> places = Vector256.Create(0, size, 2 * size, 3 * size), step = Vector256.Create(4 * size);
        Vector256<ulong> expected = Vector256.Create(rows[0]) + places, wrong = default;
        for (int k = 0; k < 32; k += 4, expected += step) wrong |= Vector256.Load(rows + k) ^ expected;
        if (wrong != Vector256<ulong>.Zero || (first & (size - 1)) != 0) return false;
        Allocation? a = _recent;
        if (a is null || !a.Holds(first, 32 * bytes))
        {
            a = Cluster.Launch.Emulator.Memory.Find(first);
            if (a is null || !a.Holds(first, 32 * bytes)) return false;
            _recent = a;
        }
        ulong at = first - a.Address;
        if (a.Written != null)
        {
            var written = new Span<byte>(a.Written + at, 32 * bytes);
            if (access == Access.Write) written.Fill(1);
            else if (written.IndexOf((byte)0) >= 0) return false;
        }
        Vector256<ulong> address = Vector256.Create(first) + places;
        Vector256<ulong> pointer = Vector256.Create((ulong)(a.Data + at)) + places;
        for (int k = 0; k < 32; k += 4, address += step, pointer += step)
        {
            Vector256.Store(address, Addresses + k);
            Vector256.Store(pointer, (ulong*)Pointers + k);
        }
        ref Counters c = ref CurrentCounters;
        if (access == Access.Read) c.GlobalReadBytes += 32 * bytes;
        else c.GlobalWriteBytes += 32 * bytes;
        c.GlobalSectors += (long)(((first + (32 * size) - 1) >> 5) - (first >> 5) + 1);
        if (Cluster.Races is { } races && RaceRecord(races) is not 0 and uint record)
            races.Line(this, i, record, first, bytes, access != Access.Read);
        IsConsecutive = true;
        return true;
    }
}
