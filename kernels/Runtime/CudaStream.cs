using System.Runtime.CompilerServices;
using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Runtime;

/// <summary>An ordered queue of device work.</summary>
public sealed unsafe class CudaStream : IDisposable
{
    private const uint NonBlocking = 1;
    private nint handle;

    /// <summary>A new stream that does not wait for the legacy default stream.</summary>
    public CudaStream(CudaContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        Context = context;
        context.Check(context.Driver.StreamCreate(out handle, NonBlocking), "cuStreamCreate");
    }

    /// <summary>The context it belongs to.</summary>
    public CudaContext Context { get; }

    /// <summary>The driver's handle.</summary>
    public nint Handle => handle;

    /// <summary>True when nothing is left to do.</summary>
    public bool IsIdle
    {
        get
        {
            CudaResult result = Context.Driver.StreamQuery(handle);
            if (result != CudaResult.NotReady) Context.Check(result, "cuStreamQuery");
            return result == CudaResult.Success;
        }
    }

    /// <summary>Waits until everything queued so far is done; a fault of earlier work surfaces here.</summary>
    public void Synchronize() => Context.Check(Context.Driver.StreamSynchronize(handle), "cuStreamSynchronize");

    /// <summary>Later work of this stream waits for <paramref name="signal"/>.</summary>
    public void Wait(CudaEvent signal)
    {
        ArgumentNullException.ThrowIfNull(signal);
        Context.Check(Context.Driver.StreamWaitEvent(handle, signal.Handle, 0), "cuStreamWaitEvent");
    }

    /// <summary>
    /// Queues a copy to the device. Pageable memory is staged before this returns; pinned memory must stay as it is
    /// until the stream gets there.
    /// </summary>
    public void Upload<T>(ReadOnlySpan<T> source, DevicePointer<T> destination) where T : unmanaged
    {
        fixed (T* from = source)
        {
            Context.Check(
                Context.Driver.MemcpyHtoDAsync(destination.Address, from, Bytes<T>(source.Length), handle),
                "cuMemcpyHtoDAsync");
        }
    }

    /// <summary>Copies from the device and waits for the copy.</summary>
    public void Download<T>(DevicePointer<T> source, Span<T> destination) where T : unmanaged
    {
        fixed (T* to = destination)
        {
            Context.Check(
                Context.Driver.MemcpyDtoHAsync(to, source.Address, Bytes<T>(destination.Length), handle),
                "cuMemcpyDtoHAsync");
            Synchronize();
        }
    }

    /// <summary>Queues a copy from the device to pinned memory, which holds it once the stream gets there.</summary>
    public void QueueDownload<T>(DevicePointer<T> source, Span<T> destination) where T : unmanaged
    {
        fixed (T* to = destination)
        {
            Context.Check(
                Context.Driver.MemcpyDtoHAsync(to, source.Address, Bytes<T>(destination.Length), handle),
                "cuMemcpyDtoHAsync");
        }
    }

    /// <summary>Queues a copy of <paramref name="count"/> elements within the device.</summary>
    public void Copy<T>(DevicePointer<T> source, DevicePointer<T> destination, long count) where T : unmanaged =>
        Context.Check(
            Context.Driver.MemcpyDtoDAsync(
                destination.Address, source.Address, Bytes<T>(count), handle),
            "cuMemcpyDtoDAsync");

    /// <summary>Queues zeroing of <paramref name="count"/> elements.</summary>
    public void Zero<T>(DevicePointer<T> destination, long count) where T : unmanaged => Context.Check(
        Context.Driver.MemsetD8Async(destination.Address, 0, Bytes<T>(count), handle),
        "cuMemsetD8Async");

    /// <summary>Queues setting <paramref name="count"/> 4-byte elements to <paramref name="value"/>.</summary>
    public void Fill<T>(DevicePointer<T> destination, T value, long count) where T : unmanaged
    {
        if (sizeof(T) != 4) throw new ArgumentException($"[fill] elements must have 4 bytes, but got {sizeof(T)}");
        Context.Check(
            Context.Driver.MemsetD32Async(
                destination.Address, Unsafe.As<T, uint>(ref value), checked((nuint)count), handle),
            "cuMemsetD32Async");
    }

    private static nuint Bytes<T>(long count) where T : unmanaged => checked((nuint)count * (nuint)sizeof(T));

    /// <inheritdoc/>
    public void Dispose()
    {
        if (handle == 0) return;
        _ = Context.Driver.StreamDestroy(handle);
        handle = 0;
    }
}
