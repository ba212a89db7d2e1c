using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// The accesses of one instruction in all its lanes. Four words at a time where they can be judged together: lines of a
/// whole warp, and 16-byte accesses.
/// </summary>
internal sealed unsafe partial class RaceWatch
{
    private const ulong LaneBits = (31 << 16) | Several;

    /// <summary>
    /// Watches what the lanes access: <paramref name="bytes"/> (a power of two up to 16) at each of the warp's
    /// addresses, which are aligned and inside live allocations.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Lanes(Warp warp, Instruction i, uint record, uint lanes, int bytes, bool write)
    {
        ulong* addresses = warp.Addresses;
        for (uint m = lanes; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            One(warp, i, record, addresses[lane], bytes, lane, write);
        }
    }

    /// <summary>The same for a whole warp whose lanes access one place after the other from <paramref name="first"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Line(Warp warp, Instruction i, uint record, ulong first, int bytes, bool write)
    {
        int perQuad = 16 / bytes;
        bool quads = bytes >= 2 && (first & 3) == 0;
        Vector256<ulong> now = Vector256.Create((ulong)record << 32 | 0xF0) | FirstQuad(bytes);
        Vector256<ulong> step = Vector256.Create((ulong)perQuad << 16);
        for (int lane = 0; lane < 32; lane += perQuad, now += step)
        {
            ulong address = first + (ulong)(lane * bytes);
            ulong* words = At(warp, address, out int left);
            if (quads && left >= 4 && (write ? WriteQuad(warp, words, now) : ReadQuad(warp, words, now))) continue;
            for (int k = 0; k < perQuad; k++)
                One(warp, i, record, address + (ulong)(k * bytes), bytes, lane + k, write);
        }
    }

    private static Vector256<ulong> FirstQuad(int bytes) => bytes switch
    {
        2 => Vector256.Create(0ul, 2 << 16, 4 << 16, 6 << 16) | Vector256.Create(Several),
        4 => Vector256.Create(0ul, 1 << 16, 2 << 16, 3 << 16),
        8 => Vector256.Create(0ul, 0, 1 << 16, 1 << 16),
        _ => default,
    };

    private ulong _pageStart = ulong.MaxValue;
    private ulong* _page;

    /// <summary>The shadow of the word at an address, and how many words follow it in its page.</summary>
    private ulong* At(Warp warp, ulong address, out int left)
    {
        if (address - _pageStart > InPage)
        {
            Allocation allocation = warp.Holder(address);
            ulong offset = address - allocation.Address;
            _page = races.Page(allocation, (long)offset);
            _pageStart = address - (offset & InPage);
        }
        int word = (int)(address - _pageStart) >> 2;
        left = GlobalRaces.WordsPerPage - word;
        return _page + word;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void One(Warp warp, Instruction i, uint record, ulong address, int bytes, int lane, bool write)
    {
        ulong* word = At(warp, address, out _);
        ulong mine = Entry(record, lane);
        if (bytes == 16)
        {
            Vector256<ulong> now = Vector256.Create(mine | 0xF0);
            if (write ? WriteQuad(warp, word, now) : ReadQuad(warp, word, now)) return;
        }
        ulong mask = bytes >= 4 ? 0xF0 : ((1ul << bytes) - 1) << ((int)(address & 3) + 4);
        for (int k = 0; k < bytes; k += 4, word++)
        {
            if (write) WriteWord(warp, word, mine, mask, lane, address, i.Strong);
            else ReadWord(warp, word, mine, mask, lane, address);
        }
    }

    /// <summary>Notes a read of four words; false when they have to be looked at one by one.</summary>
    private bool ReadQuad(Warp warp, ulong* words, Vector256<ulong> now)
    {
        if (!Ordered(warp, Vector256.Load(words), now)) return false;
        Vector256<ulong> before = Vector256.Load(words + Reads);
        if (before == now) return true;
        if (before != Vector256<ulong>.Zero)
        {
            ulong first = before[0];
            if ((before ^ Vector256.Create(first)) >> 32 != Vector256<ulong>.Zero || (first ^ now[0]) >> 32 == 0)
                return false;
            if (!SameWarp(first, now[0])) Vector256.Store(before, words + OlderReads);
        }
        Vector256.Store(now, words + Reads);
        return true;
    }

    /// <summary>Notes a write of four words; false when they have to be looked at one by one.</summary>
    private bool WriteQuad(Warp warp, ulong* words, Vector256<ulong> now)
    {
        Vector256<ulong> write = Vector256.Load(words), read = Vector256.Load(words + Reads),
            older = Vector256.Load(words + OlderReads);
        if ((write | read | older) != Vector256<ulong>.Zero)
        {
            if (write == now && (read | older) == Vector256<ulong>.Zero) return true;
            if (!Ordered(warp, write, now) || !Ordered(warp, read, now) || !Ordered(warp, older, now)) return false;
            Vector256.Store(default, words + Reads);
            Vector256.Store(default, words + OlderReads);
        }
        Vector256.Store(now, words);
        return true;
    }

    /// <summary>
    /// True when four entries are empty, or all of one record and before what this warp does now.
    /// </summary>
    private bool Ordered(Warp warp, Vector256<ulong> entries, Vector256<ulong> now)
    {
        if (entries == Vector256<ulong>.Zero) return true;
        if ((entries ^ Vector256.Create(entries[0])) >> 32 != Vector256<ulong>.Zero) return false;
        ref AccessRecord before = ref Record(entries[0]);
        if (!ReferenceEquals(before.Member, warp.Cluster.Member)) return Ordered(warp, 0, entries[0], 0);
        uint* seen = warp.Cluster.Order!.Of(warp.Global);
        if (before.Warp != warp.Global || before.Clock < seen[warp.Global]) return seen[before.Warp] >= before.Clock;
        return ((entries ^ now) & Vector256.Create(LaneBits)) == Vector256<ulong>.Zero;
    }
}
