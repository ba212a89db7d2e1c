using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>Refuses launches that no device would take.</summary>
internal static class LaunchChecks
{
    public static Extent Check(EmulatedModule module, EmulatedKernel kernel, Extent grid, Extent block,
        int dynamicShared,
        int parameterBytes, Extent? cluster)
    {
        PtxEntry entry = kernel.Source;
        string op = $"launch {entry.Name}";
        if (module.Disposed) throw new EmulatorException($"[{op}] the module must be loaded, but it was unloaded");
        if (grid.X < 1 || grid.Y is < 1 or > 65535 || grid.Z is < 1 or > 65535)
            throw new EmulatorException($"[{op}] the grid must be 1..2147483647 x 1..65535 x 1..65535, but got {grid}");
        if (block.X is < 1 or > 1024 || block.Y is < 1 or > 1024 || block.Z is < 1 or > 64 || block.Count > 1024)
            throw new EmulatorException($"[{op}] a block must have 1..1024 threads (z at most 64), but got {block}");
        if (entry.MaxThreads > 0 && block.Count > entry.MaxThreads)
            throw new EmulatorException(
                $"[{op}] a block must have at most .maxntid {entry.MaxThreads} threads, but got {block}");
        if (entry.RequiredThreads is { } need && block != new Extent(need.X, need.Y, need.Z))
            throw new EmulatorException($"[{op}] the block must be .reqntid {need}, but got {block}");
        int shared = kernel.StaticSharedBytes + dynamicShared;
        if (dynamicShared < 0 || shared > Emulator.MaxSharedBytes)
            throw new EmulatorException(
                $"[{op}] shared memory must be 0..{Emulator.MaxSharedBytes} bytes, but got {kernel.StaticSharedBytes} static + {dynamicShared} dynamic");
        if (parameterBytes != entry.ParameterBytes)
            throw new EmulatorException(
                $"[{op}] the packed parameters must have {entry.ParameterBytes} bytes, but got {parameterBytes}");
        Extent shape = entry.RequiredCluster is { } own ? new Extent(own.X, own.Y, own.Z) : cluster ?? new Extent(1);
        if (cluster is { } given && given != shape)
            throw new EmulatorException($"[{op}] the cluster must be .reqnctapercluster {shape}, but got {given}");
        if (shape.X < 1 || shape.Y < 1 || shape.Z < 1 || shape.Count > 16)
            throw new EmulatorException($"[{op}] a cluster must have 1..16 blocks, but got {shape}");
        if (grid.X % shape.X != 0 || grid.Y % shape.Y != 0 || grid.Z % shape.Z != 0)
            throw new EmulatorException($"[{op}] the grid must be a multiple of the cluster {shape}, but got {grid}");
        return shape;
    }
}
