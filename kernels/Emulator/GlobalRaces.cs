using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace CudaLora.Kernels.Emulator;

/// <summary>A cluster of one launch, and when it last published and last saw what others published.</summary>
internal sealed class GridMember(long linear)
{
    public long Linear { get; } = linear;

    public long LastSynchronised { get; set; }
}

/// <summary>
/// Accesses of one warp by one instruction with no barrier between them: entries of the shadow name it.
/// </summary>
internal struct AccessRecord
{
    public GridMember Member;
    public long Time;
    public uint Clock;
    public int Warp, Instruction;
    public bool Strong;
}

/// <summary>
/// The shadow of global memory in one launch: for every word that is touched the last write and the last reads of two
/// warps, in pages that come into being when first touched and go when the launch ends.
/// </summary>
[SuppressMessage("Design", "CA1001", Justification = "The pages go with the emulator's memory.")]
internal sealed unsafe class GlobalRaces
{
    public const int PageShift = 10;
    public const int WordsPerPage = (1 << PageShift) / 4;
    public const int ChunkShift = 10;
    private const int PageSize = 3 * WordsPerPage * 8;
    private const int KeptPages = 4096;
    private const int MostChunks = 1 << 12;
    private readonly Lock _lock = new();
    private readonly Stack<nint> _free = new();
    private readonly List<(Allocation Allocation, long Page)> _touched = [];
    private AccessRecord[][] _chunks = [];
    private int _used;
    private long _time;

    /// <summary>Grows with every fence and ordered atomic of the launch.</summary>
    public long Time => Volatile.Read(ref _time);

    public long NextTime() => Interlocked.Increment(ref _time);

    public ref AccessRecord Record(uint id) =>
        ref Volatile.Read(ref _chunks)[id >> ChunkShift][id & ((1 << ChunkShift) - 1)];

    /// <summary>
    /// Room for records of one worker: the first id; 0 when a launch has so many that it goes on unwatched.
    /// </summary>
    public uint TakeChunk()
    {
        lock (_lock)
        {
            if (_used == MostChunks) return 0;
            if (_used == _chunks.Length) Volatile.Write(ref _chunks, [.. _chunks, new AccessRecord[1 << ChunkShift]]);
            // No record has id 0: a shadow entry of 0 means none.
            return Math.Max((uint)_used++ << ChunkShift, 1);
        }
    }

    /// <summary>The page that shadows a place of an allocation.</summary>
    public ulong* Page(Allocation allocation, long offset)
    {
        nint[]? pages = allocation.RacePages;
        if (pages is not null && Volatile.Read(ref pages[offset >> PageShift]) is not 0 and nint known)
            return (ulong*)known;
        lock (_lock)
        {
            pages = allocation.RacePages ??= new nint[(allocation.Size >> PageShift) + 1];
            ref nint place = ref pages[offset >> PageShift];
            if (place != 0) return (ulong*)place;
            if (!_free.TryPop(out nint page)) page = (nint)NativeMemory.Alloc(PageSize);
            NativeMemory.Clear((void*)page, PageSize);
            _touched.Add((allocation, offset >> PageShift));
            Volatile.Write(ref place, page);
            return (ulong*)page;
        }
    }

    /// <summary>Forgets the launch.</summary>
    public void EndLaunch()
    {
        foreach ((Allocation allocation, long page) in _touched)
        {
            nint[] pages = allocation.RacePages!;
            if (_free.Count < KeptPages) _free.Push(pages[page]);
            else NativeMemory.Free((void*)pages[page]);
            pages[page] = 0;
        }
        _touched.Clear();
        (_used, _time) = (0, 0);
    }

    public void Free()
    {
        while (_free.TryPop(out nint page)) NativeMemory.Free((void*)page);
    }
}
