using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Engine;

/// <summary>
/// Page-locked host memory, which a CUDA device copies from and to by itself while both work. Every block comes from
/// the driver at its exact size: they are few and live long.
/// </summary>
internal sealed unsafe class PinnedMemory(CudaContext context) : HostDevice
{
    public override string Name => $"pinned host memory of {context.Properties.Name}";

    private protected override bool Pools => false;

    private protected override void* AllocateBlock(long bytes)
    {
        var result = context.Driver.MemHostAlloc(out var pointer, (nuint)bytes, 0);
        return result == CudaResult.Success
            ? (void*)pointer
            : throw new DeviceMemoryException(
                $"[{Name}] {bytes >> 20} MiB asked, {Memory.InUse >> 20} MiB in use, but the system locks no more "
                + $"({result}): raise its limit of locked memory, or keep the optimiser states on the device "
                + "(--optim adamw_8bit)");
    }

    private protected override void FreeBlock(void* block, long bytes) => _ = context.Driver.MemFreeHost((nint)block);
}
