using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace CudaLora.Engine;

internal sealed unsafe class CpuDevice : Device
{
    public override DeviceKind Kind => DeviceKind.Cpu;

    public override string Name { get; } = $"cpu ({Environment.ProcessorCount} threads, {Simd()})";

    internal override void CopyFromHost(void* destination, ReadOnlySpan<byte> source)
    {
        fixed (byte* from = source)
            Buffer.MemoryCopy(from, destination, source.Length, source.Length);
    }

    internal override void CopyToHost(void* source, Span<byte> destination)
    {
        fixed (byte* to = destination)
            Buffer.MemoryCopy(source, to, destination.Length, destination.Length);
    }

    internal override void Copy(void* source, void* destination, long bytes) =>
        Buffer.MemoryCopy(source, destination, bytes, bytes);

    internal override void Clear(void* destination, long bytes) => NativeMemory.Clear(destination, (nuint)bytes);

    internal override void Fill(void* destination, float value, long count) =>
        new Span<float>(destination, checked((int)count)).Fill(value);

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
