using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace CudaLora.Engine;

internal sealed unsafe class CpuDevice : HostDevice
{
    public override string Name { get; } = $"cpu ({Environment.ProcessorCount} threads, {Simd()})";

    private protected override void* AllocateBlock(long bytes)
    {
        try
        {
            return NativeMemory.AlignedAlloc((nuint)bytes, 64);
        }
        catch (OutOfMemoryException)
        {
            var memory = Memory;
            throw new DeviceMemoryException(
                $"[cpu] {bytes >> 20} MiB asked, {memory.InUse >> 20} MiB in use: " +
                "use a smaller batch, a shorter length or gradient checkpointing");
        }
    }

    private protected override void FreeBlock(void* block, long bytes) => NativeMemory.AlignedFree(block);

    private static string Simd() =>
        Vector512.IsHardwareAccelerated ? "AVX-512" : Fma.IsSupported ? "AVX2+FMA" : "128-bit";
}
