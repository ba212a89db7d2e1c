using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Runtime;

/// <summary>What a device is and what it allows; sizes in bytes.</summary>
public sealed record DeviceProperties
{
    /// <summary>Marketing name.</summary>
    public required string Name { get; init; }

    /// <summary>Compute capability times ten: 80 for sm_80, 90 for sm_90.</summary>
    public required int Capability { get; init; }

    /// <summary>Streaming multiprocessors.</summary>
    public required int Multiprocessors { get; init; }

    /// <summary>Device memory.</summary>
    public required ulong MemoryBytes { get; init; }

    /// <summary>Level-2 cache.</summary>
    public required int L2Bytes { get; init; }

    /// <summary>
    /// Peak memory bandwidth in bytes per second from clock and bus width; 0 where the driver tells neither.
    /// </summary>
    public required double PeakBytesPerSecond { get; init; }

    /// <summary>Most dynamic plus static shared memory a block can have after opting in.</summary>
    public required int MaxSharedPerBlock { get; init; }

    /// <summary>Shared memory of one multiprocessor.</summary>
    public required int SharedPerMultiprocessor { get; init; }

    /// <summary>32-bit registers of one multiprocessor.</summary>
    public required int RegistersPerMultiprocessor { get; init; }

    /// <summary>Most threads in a block.</summary>
    public required int MaxThreadsPerBlock { get; init; }

    /// <summary>Largest block extents.</summary>
    public required Dim3 MaxBlock { get; init; }

    /// <summary>Largest grid extents.</summary>
    public required Dim3 MaxGrid { get; init; }

    /// <summary>cuMemAllocAsync works.</summary>
    public required bool MemoryPools { get; init; }

    /// <summary>Clusters of blocks, TMA and wgmma work.</summary>
    public required bool Clusters { get; init; }

    /// <summary>Why <paramref name="shape"/> cannot run here, or null if nothing speaks against it.</summary>
    public string? Refuses(in LaunchShape shape)
    {
        (Dim3 grid, Dim3 block) = (shape.Grid, shape.Block);
        if (grid.Count == 0 || block.Count == 0) return "every extent must be at least 1";
        if (block.Count > (ulong)MaxThreadsPerBlock)
            return $"a block has at most {MaxThreadsPerBlock} threads, this one {block.Count}";
        if (block.X > MaxBlock.X || block.Y > MaxBlock.Y || block.Z > MaxBlock.Z)
            return $"a block is at most {MaxBlock}";
        if (grid.X > MaxGrid.X || grid.Y > MaxGrid.Y || grid.Z > MaxGrid.Z) return $"a grid is at most {MaxGrid}";
        if (shape.SharedBytes > (uint)MaxSharedPerBlock)
            return $"a block has at most {MaxSharedPerBlock} B of shared memory";
        if (!shape.HasCluster) return null;
        Dim3 cluster = shape.Cluster;
        if (!Clusters) return "this device has no clusters (sm_90 has)";
        if (cluster.Count > 8) return "a portable cluster has at most 8 blocks";
        if (grid.X % cluster.X != 0 || grid.Y % cluster.Y != 0 || grid.Z % cluster.Z != 0)
            return "the grid must be a multiple of the cluster";
        return null;
    }

    internal static DeviceProperties Read(CudaContext context)
    {
        ICudaDriver driver = context.Driver;
        int device = context.Device;
        context.Check(driver.DeviceGetName(out string name, device), "cuDeviceGetName");
        context.Check(driver.DeviceTotalMem(out ulong bytes, device), "cuDeviceTotalMem");
        // CUDA 13 drivers may answer the deprecated clock attributes with an error: such an answer counts as 0.
        int Get(DeviceAttribute attribute) =>
            driver.DeviceGetAttribute(out int value, attribute, device) == CudaResult.Success ? value : 0;
        return new DeviceProperties
        {
            Name = name,
            Capability =
                10 * Get(DeviceAttribute.ComputeCapabilityMajor) + Get(DeviceAttribute.ComputeCapabilityMinor),
            Multiprocessors = Get(DeviceAttribute.MultiprocessorCount),
            MemoryBytes = bytes,
            L2Bytes = Get(DeviceAttribute.L2CacheBytes),
            // Double data rate; the clock is in kilohertz.
            PeakBytesPerSecond = 2e3 * Get(DeviceAttribute.MemoryClockRateKilohertz)
                * (Get(DeviceAttribute.GlobalMemoryBusWidthBits) / 8.0),
            MaxSharedPerBlock = Get(DeviceAttribute.MaxSharedMemoryPerBlockOptIn),
            SharedPerMultiprocessor = Get(DeviceAttribute.MaxSharedMemoryPerMultiprocessor),
            RegistersPerMultiprocessor = Get(DeviceAttribute.MaxRegistersPerMultiprocessor),
            MaxThreadsPerBlock = Get(DeviceAttribute.MaxThreadsPerBlock),
            MaxBlock = new Dim3(
                (uint)Get(DeviceAttribute.MaxBlockDimX), (uint)Get(DeviceAttribute.MaxBlockDimY),
                (uint)Get(DeviceAttribute.MaxBlockDimZ)),
            MaxGrid = new Dim3(
                (uint)Get(DeviceAttribute.MaxGridDimX), (uint)Get(DeviceAttribute.MaxGridDimY),
                (uint)Get(DeviceAttribute.MaxGridDimZ)),
            MemoryPools = Get(DeviceAttribute.MemoryPoolsSupported) != 0,
            Clusters = Get(DeviceAttribute.ClusterLaunch) != 0,
        };
    }
}
