namespace CudaLora.Kernels.Driver;

// Device and pinned memory, copies, the stream-ordered pool. One field per symbol, one method per call.
public sealed unsafe partial class LibCuda
{
    private readonly delegate* unmanaged<ulong*, nuint, CudaResult> memAlloc;
    private readonly delegate* unmanaged<ulong, CudaResult> memFree;
    private readonly delegate* unmanaged<ulong*, nuint, nint, CudaResult> memAllocAsync;
    private readonly delegate* unmanaged<ulong, nint, CudaResult> memFreeAsync;
    private readonly delegate* unmanaged<nuint*, nuint*, CudaResult> memGetInfo;
    private readonly delegate* unmanaged<nint*, nuint, uint, CudaResult> memHostAlloc;
    private readonly delegate* unmanaged<nint, CudaResult> memFreeHost;
    private readonly delegate* unmanaged<ulong, void*, nuint, nint, CudaResult> memcpyHtoDAsync;
    private readonly delegate* unmanaged<void*, ulong, nuint, nint, CudaResult> memcpyDtoHAsync;
    private readonly delegate* unmanaged<ulong, ulong, nuint, nint, CudaResult> memcpyDtoDAsync;
    private readonly delegate* unmanaged<ulong, byte, nuint, nint, CudaResult> memsetD8Async;
    private readonly delegate* unmanaged<ulong, uint, nuint, nint, CudaResult> memsetD32Async;
    private readonly delegate* unmanaged<nint*, int, CudaResult> deviceGetDefaultMemPool;
    private readonly delegate* unmanaged<nint, nuint, CudaResult> memPoolTrimTo;

    /// <inheritdoc/>
    public CudaResult MemAlloc(out ulong address, nuint bytes)
    {
        ulong addressOut = default;
        CudaResult result = memAlloc(&addressOut, bytes);
        address = addressOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult MemFree(ulong address) => memFree(address);

    /// <inheritdoc/>
    public CudaResult MemAllocAsync(out ulong address, nuint bytes, nint stream)
    {
        ulong addressOut = default;
        CudaResult result = memAllocAsync(&addressOut, bytes, stream);
        address = addressOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult MemFreeAsync(ulong address, nint stream) => memFreeAsync(address, stream);

    /// <inheritdoc/>
    public CudaResult MemGetInfo(out nuint free, out nuint total)
    {
        nuint freeOut = default;
        nuint totalOut = default;
        CudaResult result = memGetInfo(&freeOut, &totalOut);
        free = freeOut;
        total = totalOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult MemHostAlloc(out nint pointer, nuint bytes, uint flags)
    {
        nint pointerOut = default;
        CudaResult result = memHostAlloc(&pointerOut, bytes, flags);
        pointer = pointerOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult MemFreeHost(nint pointer) => memFreeHost(pointer);

    /// <inheritdoc/>
    public CudaResult MemcpyHtoDAsync(ulong destination, void* source, nuint bytes, nint stream) =>
        memcpyHtoDAsync(destination, source, bytes, stream);

    /// <inheritdoc/>
    public CudaResult MemcpyDtoHAsync(void* destination, ulong source, nuint bytes, nint stream) =>
        memcpyDtoHAsync(destination, source, bytes, stream);

    /// <inheritdoc/>
    public CudaResult MemcpyDtoDAsync(ulong destination, ulong source, nuint bytes, nint stream) =>
        memcpyDtoDAsync(destination, source, bytes, stream);

    /// <inheritdoc/>
    public CudaResult MemsetD8Async(ulong destination, byte value, nuint count, nint stream) =>
        memsetD8Async(destination, value, count, stream);

    /// <inheritdoc/>
    public CudaResult MemsetD32Async(ulong destination, uint value, nuint count, nint stream) =>
        memsetD32Async(destination, value, count, stream);

    /// <inheritdoc/>
    public CudaResult DeviceGetDefaultMemPool(out nint pool, int device)
    {
        nint poolOut = default;
        CudaResult result = deviceGetDefaultMemPool(&poolOut, device);
        pool = poolOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult MemPoolTrimTo(nint pool, nuint keepBytes) => memPoolTrimTo(pool, keepBytes);
}
