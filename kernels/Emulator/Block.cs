using System.Runtime.InteropServices;

namespace CudaLora.Kernels.Emulator;

/// <summary>One thread block: shared memory, named barriers, mbarriers and warps.</summary>
internal sealed unsafe class Block : IDisposable
{
    /// <summary>
    /// Shared address of the first byte that a kernel owns; what lies below is reserved, as on sm_90.
    /// </summary>
    public const uint SharedBase = 1024;

    private const int NamedBarriers = 16;

    public Block(Cluster cluster, int rank, Counters[] counters)
    {
        (Cluster, Rank) = (cluster, rank);
        Launch launch = cluster.Launch;
        EmulatedKernel kernel = launch.Kernel;
        DynamicSharedAt = PlaceDynamic(kernel, launch.Options.Checks);
        SharedBytes = launch.DynamicShared == 0
            ? kernel.StaticSharedBytes
            : DynamicSharedAt - (int)SharedBase + launch.DynamicShared;
        Shared = (byte*)NativeMemory.AlignedAlloc((nuint)Math.Max(SharedBytes, 16) + 64, 1024);
        if (launch.Options.Checks && SharedBytes > 0) Shadow = new SharedShadow(this, kernel);
        int warps = (launch.Threads + 31) / 32;
        Warps = new Warp[warps];
        for (int w = 0; w < warps; w++) Warps[w] = new Warp(cluster, this, w, (rank * warps) + w, counters);
        Barriers = new NamedBarrier[NamedBarriers];
        for (int b = 0; b < NamedBarriers; b++) Barriers[b] = new NamedBarrier(this, b);
    }

    public Cluster Cluster { get; }

    /// <summary>Rank in the cluster.</summary>
    public int Rank { get; }

    public Extent GridIndex { get; private set; }

    public byte* Shared { get; }

    public int SharedBytes { get; }

    /// <summary>Shared address of dynamic shared memory.</summary>
    public int DynamicSharedAt { get; }

    public SharedShadow? Shadow { get; }

    public Warp[] Warps { get; }

    public NamedBarrier[] Barriers { get; }

    public Dictionary<uint, MBarrier> MBarriers { get; } = [];

    /// <summary>Lowest and highest byte of any mbarrier.</summary>
    public ulong MBarrierLow { get; private set; } = ulong.MaxValue;

    public ulong MBarrierHigh { get; private set; }

    public void AddMBarrier(uint address, MBarrier barrier)
    {
        MBarriers[address] = barrier;
        MBarrierLow = Math.Min(MBarrierLow, address);
        MBarrierHigh = Math.Max(MBarrierHigh, address + 7);
    }

    public void Start(Extent gridIndex)
    {
        GridIndex = gridIndex;
        MBarriers.Clear();
        (MBarrierLow, MBarrierHigh) = (ulong.MaxValue, 0);
        NativeMemory.Fill(Shared, (nuint)SharedBytes, 0xFF);
        foreach (NamedBarrier barrier in Barriers) barrier.Reset();
        foreach (Warp warp in Warps) warp.Start();
    }

    public void Dispose()
    {
        foreach (Warp warp in Warps) warp.Dispose();
        Shadow?.Dispose();
        NativeMemory.AlignedFree(Shared);
    }

    /// <summary>
    /// With checks on, dynamic shared memory gets the alignment it declares and no more, so that a kernel that needs
    /// more shows it here.
    /// </summary>
    private static int PlaceDynamic(EmulatedKernel kernel, bool strict)
    {
        int alignment = Math.Max(kernel.DynamicSharedAlignment, 16);
        int at = ((int)SharedBase + kernel.StaticSharedBytes + alignment - 1) / alignment * alignment;
        return strict && alignment < 1024 && at % (2 * alignment) == 0 ? at + alignment : at;
    }
}
