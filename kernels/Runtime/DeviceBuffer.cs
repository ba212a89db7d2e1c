using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Runtime;

/// <summary>Owned device memory of <see cref="Count"/> elements, given back to its pool in stream order.</summary>
public sealed class DeviceBuffer<T> : IDisposable where T : unmanaged
{
    private readonly CudaStream stream;
    private bool disposed;

    internal DeviceBuffer(CudaStream stream, ulong address, long count) =>
        (this.stream, Pointer, Count) = (stream, new DevicePointer<T>(address), count);

    /// <summary>Address of the first element.</summary>
    public DevicePointer<T> Pointer { get; }

    /// <summary>Number of elements.</summary>
    public long Count { get; }

    /// <summary>Queues a copy of all of <paramref name="source"/> to the start of this buffer.</summary>
    public void Upload(ReadOnlySpan<T> source)
    {
        Require(source.Length);
        stream.Upload(source, Pointer);
    }

    /// <summary>Waits for the stream and copies the start of this buffer out.</summary>
    public void Download(Span<T> destination)
    {
        Require(destination.Length);
        stream.Download(Pointer, destination);
    }

    /// <summary>All elements, after waiting for the stream.</summary>
    public T[] ToArray()
    {
        var copy = new T[Count];
        Download(copy);
        return copy;
    }

    /// <summary>Queues zeroing of every element.</summary>
    public void Zero() => stream.Zero(Pointer, Count);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (disposed) return;
        disposed = true;
        stream.Context.Memory.FreeBytes(Pointer.Address, (ulong)Count * (ulong)Unsafe.SizeOf<T>(), stream);
    }

    private void Require(int length)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        if (length > Count)
            throw new ArgumentException($"[device_buffer] a copy must fit, but got {length} elements (buffer {Count})");
    }
}
