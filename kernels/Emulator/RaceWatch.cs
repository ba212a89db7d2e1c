using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// Finds two accesses to the same bytes of global memory by different threads of a launch, one of them a plain write,
/// that no barrier, fence or ordered atomic puts in order. One per worker. Between blocks (clusters) only fences and
/// ordered atomics order, and any of the writer's is taken to reach any later one of the reader's: more order than the
/// ISA gives, so that what is reported is a race.
/// </summary>
internal sealed unsafe partial class RaceWatch(GlobalRaces races)
{
    // Entry: record 32 bits, lane 5 at bit 16, several lanes 1 at bit 8, bytes 4 at bit 4, bytes of two lanes 4.
    private const int Reads = GlobalRaces.WordsPerPage, OlderReads = 2 * GlobalRaces.WordsPerPage;
    private const int InPage = (1 << GlobalRaces.PageShift) - 1;
    private const ulong Several = 1 << 8;
    private uint _next, _end;

    public void Synchronised(GridMember member) => member.LastSynchronised = races.NextTime();

    /// <summary>A new record; 0 when there are no more.</summary>
    public uint Record(Warp warp, Instruction i, uint clock)
    {
        if (_next == _end)
        {
            _next = races.TakeChunk();
            if (_next == 0) return _end = 0;
            _end = ((_next >> GlobalRaces.ChunkShift) + 1) << GlobalRaces.ChunkShift;
        }
        races.Record(_next) = new AccessRecord
        {
            Member = warp.Cluster.Member!,
            Time = races.Time,
            Clock = clock,
            Warp = warp.Global,
            Instruction = i.Index,
            Strong = i.Strong,
        };
        return _next++;
    }

    /// <summary>One access of any length by one lane, as copies make them.</summary>
    public void Range(Warp warp, uint record, Allocation allocation, ulong address, int bytes, int lane, bool write)
    {
        long offset = (long)(address - allocation.Address), end = offset + bytes;
        ulong mine = Entry(record, lane);
        while (offset < end)
        {
            ulong* word = races.Page(allocation, offset) + ((offset & InPage) >> 2);
            long stop = Math.Min(end, (offset | InPage) + 1);
            for (; offset < stop; word++)
            {
                ulong mask = Mask(ref offset, stop);
                if (write) WriteWord(warp, word, mine, mask, lane, address, strong: false);
                else ReadWord(warp, word, mine, mask, lane, address);
            }
        }
    }

    private static ulong Entry(uint record, int lane) => ((ulong)record << 32) | ((ulong)(uint)lane << 16);

    /// <summary>Bytes of the word at an offset that an access covers; goes on to the next word.</summary>
    private static ulong Mask(ref long offset, long end)
    {
        int first = (int)offset & 3;
        long next = Math.Min(end, (offset | 3) + 1);
        ulong mask = ((1ul << (int)(next - offset)) - 1) << first;
        offset = next;
        return mask << 4;
    }

    private bool SameWarp(ulong a, ulong b)
    {
        ref AccessRecord x = ref races.Record((uint)(a >> 32)), y = ref races.Record((uint)(b >> 32));
        return x.Warp == y.Warp && ReferenceEquals(x.Member, y.Member);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ReadWord(Warp warp, ulong* word, ulong mine, ulong mask, int lane, ulong address)
    {
        ulong write = *word, read = word[Reads];
        if ((write & mask) != 0 && !Record(write).Strong && !Ordered(warp, lane, write, mask))
            throw Race(warp, lane, address, write, "read", "write");
        if ((read ^ mine) >> 32 != 0)
        {
            if (read != 0 && !SameWarp(read, mine)) word[OlderReads] = read;
            word[Reads] = mine | mask;
            return;
        }
        // Bytes that two lanes have read can be told only while one lane is known to be behind the entry.
        bool other = (read ^ mine) >> 16 != 0;
        ulong shared = other && (read & Several) == 0 ? (read & mask) >> 4 : 0;
        word[Reads] = read | mask | shared | (other ? Several : 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void WriteWord(Warp warp, ulong* word, ulong mine, ulong mask, int lane, ulong address, bool strong)
    {
        ulong write = *word, read = word[Reads], older = word[OlderReads];
        bool together = (write ^ mine) >> 32 == 0;
        if ((write & mask) != 0 && !together && !(strong && Record(write).Strong) && !Ordered(warp, lane, write, mask))
            throw Race(warp, lane, address, write, "write", "write");
        if (!strong)
        {
            if ((read & mask) != 0 && !Ordered(warp, lane, read, mask))
                throw Race(warp, lane, address, read, "write", "read");
            if ((older & mask) != 0 && !Ordered(warp, lane, older, mask))
                throw Race(warp, lane, address, older, "write", "read");
        }
        if (together)
        {
            // Lanes of one instruction that store to one place: which of them is last is open, but that is no race.
            *word = write | mask | ((write ^ mine) >> 16 != 0 ? Several : 0);
            return;
        }
        *word = mine | mask;
        word[Reads] = word[OlderReads] = 0;
    }

    private ref AccessRecord Record(ulong entry) => ref races.Record((uint)(entry >> 32));

    private bool Ordered(Warp warp, int lane, ulong entry, ulong mask)
    {
        ref AccessRecord before = ref Record(entry);
        GridMember here = warp.Cluster.Member!;
        if (!ReferenceEquals(before.Member, here))
            return before.Member.LastSynchronised > before.Time && here.LastSynchronised > before.Time;
        uint* seen = warp.Cluster.Order!.Of(warp.Global);
        if (before.Warp != warp.Global || before.Clock < seen[warp.Global]) return seen[before.Warp] >= before.Clock;
        return (entry & Several) == 0 ? ((int)(entry >> 16) & 31) == lane : (entry & (mask >> 4)) == 0;
    }

    private FaultSignal Race(Warp warp, int lane, ulong address, ulong entry, string access, string other)
    {
        ref AccessRecord before = ref Record(entry);
        Launch launch = warp.Cluster.Launch;
        int warps = warp.Block.Warps.Length;
        Extent block = launch.BlockIndex(before.Member.Linear, before.Warp / warps);
        bool sameBlock = block == warp.Block.GridIndex;
        string between = sameBlock ? "no barrier between" : "no ordered atomic or fence between the blocks";
        return warp.Fault(FaultKind.GlobalRace,
            $"{access} of global memory at 0x{address:X} races with a {other} by block {block} warp {before.Warp % warps} lane {(entry >> 16) & 31} with {between}",
            lane, before.Instruction);
    }
}
