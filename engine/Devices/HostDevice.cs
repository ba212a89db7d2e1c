using System.Runtime.InteropServices;

namespace CudaLora.Engine;

/// <summary>Memory that the host reads and writes itself.</summary>
internal abstract unsafe class HostDevice : Device
{
    public override DeviceKind Kind => DeviceKind.Cpu;

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
}
