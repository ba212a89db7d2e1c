using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// Vector clocks of the warps of a cluster. Besides one component per warp there is one per warp for its cp.async
/// groups, its wgmma groups and its bulk groups, and one per mbarrier for its phases: a copy counts as seen by whoever
/// has waited for it, directly or through other barriers. The second half of a vector says up to where ordinary writes
/// have passed a proxy fence.
/// </summary>
internal sealed unsafe class HappensBefore : IDisposable
{
    /// <summary>mbarriers that a cluster may have.</summary>
    public const int MaxMBarriers = 128;

    private readonly int _warps;
    private readonly uint* _vectors;
    private readonly List<nint> _owned = [];
    private readonly List<nint> _perBlock = [];
    private int _perBlockUsed;
    private int _mbarriers;
    private uint _reserved;

    public HappensBefore(int warps)
    {
        _warps = warps;
        Width = ((4 * warps) + MaxMBarriers + 7) / 8 * 8;
        _vectors = (uint*)NativeMemory.AllocZeroed((nuint)(warps * 2 * Width), 4);
    }

    /// <summary>Components of half a vector.</summary>
    public int Width { get; }

    /// <summary>Clocks below this belong to earlier blocks.</summary>
    public uint Base { get; private set; } = 1;

    public int Warps => _warps;

    public static int WarpOf(int component, int warps) => component < 4 * warps ? component % warps : -1;

    public int CopyGroups(int warp) => _warps + warp;

    public int WgmmaGroups(int warp) => (2 * _warps) + warp;

    public int BulkGroups(int warp) => (3 * _warps) + warp;

    /// <summary>A clock value that is in use although no vector holds it.</summary>
    public void Reserve(uint clock) => _reserved = Math.Max(_reserved, clock);

    public int NextMBarrier() => _mbarriers < MaxMBarriers ? (4 * _warps) + _mbarriers++ : -1;

    public bool IsMBarrier(int component) => component >= 4 * _warps;

    public uint* Of(int warp) => _vectors + ((nint)warp * 2 * Width);

    public uint Clock(int warp) => Of(warp)[warp];

    /// <summary>A cleared vector that lives as long as this.</summary>
    public uint* NewVector()
    {
        uint* vector = (uint*)NativeMemory.Alloc((nuint)(2 * Width), 4);
        _owned.Add((nint)vector);
        Clear(vector);
        return vector;
    }

    /// <summary>A cleared vector that lives until the next blocks start.</summary>
    public uint* BorrowVector()
    {
        if (_perBlockUsed == _perBlock.Count) _perBlock.Add((nint)NewVector());
        uint* vector = (uint*)_perBlock[_perBlockUsed++];
        Clear(vector);
        return vector;
    }

    public void Clear(uint* vector) => new Span<uint>(vector, 2 * Width).Fill(Base - 1);

    /// <summary>Forgets the previous blocks: whatever they did is before everything to come.</summary>
    public void StartBlocks()
    {
        uint highest = Math.Max(Base, _reserved);
        foreach (uint clock in new ReadOnlySpan<uint>(_vectors, _warps * 2 * Width)) highest = Math.Max(highest, clock);
        Base = highest + 1024;
        _mbarriers = _perBlockUsed = 0;
        for (int w = 0; w < _warps; w++)
        {
            Clear(Of(w));
            Of(w)[w] = Base;
        }
    }

    /// <summary>Raises <paramref name="into"/> to at least <paramref name="from"/>, component by component.</summary>
    public void Join(uint* into, uint* from)
    {
        for (int k = 0; k < 2 * Width; k += 8)
            Vector256.Store(Vector256.Max(Vector256.Load(into + k), Vector256.Load(from + k)), into + k);
    }

    /// <summary>Publishes what the warp has done so far.</summary>
    public void Release(int warp, uint* into)
    {
        Join(into, Of(warp));
        Tick(warp);
    }

    public void Acquire(int warp, uint* from) => Join(Of(warp), from);

    /// <summary>Orders the lanes of a warp: what any lane did before is before what any lane does next.</summary>
    public void Tick(int warp) => Of(warp)[warp]++;

    public void ProxyFence(int warp)
    {
        uint* vector = Of(warp);
        for (int k = 0; k < Width; k++) vector[Width + k] = Math.Max(vector[Width + k], vector[k]);
        Tick(warp);
    }

    public void Dispose()
    {
        NativeMemory.Free(_vectors);
        foreach (nint vector in _owned) NativeMemory.Free((void*)vector);
    }
}
