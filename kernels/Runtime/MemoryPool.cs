using System.Runtime.CompilerServices;
using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Runtime;

/// <summary>
/// Device memory in stream order (cuMemAllocAsync). The driver's pool keeps what is freed, so that a step that repeats
/// asks the system for nothing. Devices without pools are served by cuMemAlloc.
/// </summary>
public sealed class MemoryPool : IDisposable
{
    private readonly CudaContext context;
    private readonly nint pool;
    private readonly bool ordered;
    private long inUse, peak, calls;

    internal MemoryPool(CudaContext context)
    {
        this.context = context;
        ordered = context.Properties.MemoryPools;
        if (!ordered) return;
        context.Check(
            context.Driver.DeviceGetDefaultMemPool(out pool, context.Device), "cuDeviceGetDefaultMemPool");
        // The default threshold of 0 gives memory back to the system at every synchronisation.
        context.Check(
            context.Driver.MemPoolSetAttribute(pool, MemPoolAttribute.ReleaseThreshold, ulong.MaxValue),
            "cuMemPoolSetAttribute");
    }

    /// <summary>Bytes handed out.</summary>
    public long InUse => Volatile.Read(ref inUse);

    /// <summary>Most bytes handed out at one time.</summary>
    public long Peak => Volatile.Read(ref peak);

    /// <summary>Number of allocations asked of the driver so far.</summary>
    public long Allocations => Volatile.Read(ref calls);

    /// <summary>Room for <paramref name="count"/> elements, content undefined.</summary>
    public DeviceBuffer<T> Allocate<T>(long count, CudaStream? stream = null) where T : unmanaged
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        stream ??= context.Stream;
        ulong bytes = checked((ulong)count * (ulong)Unsafe.SizeOf<T>());
        return new DeviceBuffer<T>(stream, AllocateBytes(bytes, stream), count);
    }

    /// <summary>A buffer that holds a copy of <paramref name="source"/>.</summary>
    public DeviceBuffer<T> Upload<T>(ReadOnlySpan<T> source, CudaStream? stream = null) where T : unmanaged
    {
        DeviceBuffer<T> buffer = Allocate<T>(source.Length, stream);
        buffer.Upload(source);
        return buffer;
    }

    /// <summary>
    /// Address of <paramref name="bytes"/> new bytes, usable by later work of <paramref name="stream"/>.
    /// </summary>
    /// <exception cref="CudaOutOfMemoryException">The device has no room.</exception>
    public ulong AllocateBytes(ulong bytes, CudaStream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (bytes == 0) return 0;
        CudaResult result = Try(bytes, stream, out ulong address);
        if (result == CudaResult.OutOfMemory)
        {
            // What other streams freed comes back to the pool only once they are done.
            Trim();
            result = Try(bytes, stream, out address);
        }
        string call = ordered ? "cuMemAllocAsync" : "cuMemAlloc";
        if (result == CudaResult.OutOfMemory)
        {
            _ = context.Driver.MemGetInfo(out nuint free, out nuint total);
            throw new CudaOutOfMemoryException(call, bytes, (ulong)InUse, free, total);
        }
        context.Check(result, call);
        Count(bytes);
        return address;
    }

    /// <summary>
    /// Gives back what <see cref="AllocateBytes"/> returned, after the work queued in the stream so far.
    /// </summary>
    public void FreeBytes(ulong address, ulong bytes, CudaStream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (address == 0) return;
        if (ordered)
        {
            CudaResult result = context.Driver.MemFreeAsync(address, stream.Handle);
            // After a fault the context's memory is gone anyway; the fault itself has been told.
            if (!result.IsSticky()) context.Check(result, "cuMemFreeAsync");
        }
        else
        {
            stream.Synchronize();
            context.Check(context.Driver.MemFree(address), "cuMemFree");
        }
        Interlocked.Add(ref inUse, -(long)bytes);
    }

    /// <summary>
    /// Address of <paramref name="bytes"/> new bytes outside the stream order (cuMemAlloc): usable by any stream at
    /// once, and legal while a relaxed capture records.
    /// </summary>
    /// <exception cref="CudaOutOfMemoryException">The device has no room.</exception>
    public ulong AllocateLasting(ulong bytes)
    {
        CudaResult result = context.Driver.MemAlloc(out ulong address, (nuint)bytes);
        if (result == CudaResult.OutOfMemory)
        {
            _ = context.Driver.MemGetInfo(out nuint free, out nuint total);
            throw new CudaOutOfMemoryException("cuMemAlloc", bytes, (ulong)InUse, free, total);
        }
        context.Check(result, "cuMemAlloc");
        Count(bytes);
        return address;
    }

    /// <summary>Gives back what <see cref="AllocateLasting"/> returned, at once: the device is done with it.</summary>
    public void FreeLasting(ulong address, ulong bytes)
    {
        CudaResult result = context.Driver.MemFree(address);
        // After a fault the context's memory is gone anyway; the fault itself has been told.
        if (!result.IsSticky()) context.Check(result, "cuMemFree");
        Interlocked.Add(ref inUse, -(long)bytes);
    }

    private void Count(ulong bytes)
    {
        Interlocked.Increment(ref calls);
        long now = Interlocked.Add(ref inUse, (long)bytes);
        if (now > Volatile.Read(ref peak)) Volatile.Write(ref peak, now);
    }

    /// <summary>Waits for the device and gives unused memory back to the system.</summary>
    public void Trim()
    {
        context.Synchronize();
        if (ordered) context.Check(context.Driver.MemPoolTrimTo(pool, 0), "cuMemPoolTrimTo");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (ordered) _ = context.Driver.MemPoolTrimTo(pool, 0);
    }

    private CudaResult Try(ulong bytes, CudaStream stream, out ulong address) => ordered
        ? context.Driver.MemAllocAsync(out address, (nuint)bytes, stream.Handle)
        : context.Driver.MemAlloc(out address, (nuint)bytes);
}
