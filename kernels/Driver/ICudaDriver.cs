using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Driver;

/// <summary>
/// The driver calls in use, one method each, named as the driver names them. Nothing throws here: every method returns
/// what the driver said, and out values mean nothing unless that is <see cref="CudaResult.Success"/>.
/// Handles are pointer-sized integers, device addresses 64-bit integers, sizes bytes.
/// </summary>
public unsafe interface ICudaDriver
{
    /// <summary>What answers, for messages: library and version, or "emulator".</summary>
    string Name { get; }

    /// <summary>
    /// What the driver can add about the last call that failed, or null: the emulator tells the fault and where it was.
    /// </summary>
    string? LastFault { get; }

    /// <summary>
    /// Whether the time between two events is that of a device, so that it can tell which of two ways is faster.
    /// </summary>
    bool KeepsTime => true;

    /// <summary>The matrix products that belong to this driver, for streams of <paramref name="context"/>.</summary>
    IGemm CreateGemm(CudaContext context);

    // Devices and contexts
    CudaResult Init();
    CudaResult DriverGetVersion(out int version);
    CudaResult DeviceGetCount(out int count);
    CudaResult DeviceGet(out int device, int ordinal);
    CudaResult DeviceGetName(out string name, int device);
    CudaResult DeviceTotalMem(out ulong bytes, int device);
    CudaResult DeviceGetAttribute(out int value, DeviceAttribute attribute, int device);
    CudaResult DevicePrimaryCtxRetain(out nint context, int device);
    CudaResult DevicePrimaryCtxRelease(int device);
    CudaResult CtxSetCurrent(nint context);
    CudaResult CtxSynchronize();

    // Modules and functions. The image is NUL-terminated PTX text or a cubin; log sizes come back in the values.
    CudaResult ModuleLoadDataEx(
        out nint module, ReadOnlySpan<byte> image, ReadOnlySpan<JitOption> options, Span<nint> values);
    CudaResult ModuleUnload(nint module);
    CudaResult ModuleGetFunction(out nint function, nint module, string name);
    CudaResult ModuleGetGlobal(out ulong address, out nuint bytes, nint module, string name);
    CudaResult FuncGetAttribute(out int value, FunctionAttribute attribute, nint function);
    CudaResult FuncSetAttribute(nint function, FunctionAttribute attribute, int value);
    CudaResult OccupancyMaxActiveBlocksPerMultiprocessor(
        out int blocks, nint function, int blockThreads, nuint dynamicShared);

    // Memory
    CudaResult MemAlloc(out ulong address, nuint bytes);
    CudaResult MemFree(ulong address);
    CudaResult MemAllocAsync(out ulong address, nuint bytes, nint stream);
    CudaResult MemFreeAsync(ulong address, nint stream);
    CudaResult MemGetInfo(out nuint free, out nuint total);
    CudaResult MemHostAlloc(out nint pointer, nuint bytes, uint flags);
    CudaResult MemFreeHost(nint pointer);
    CudaResult MemcpyHtoDAsync(ulong destination, void* source, nuint bytes, nint stream);
    CudaResult MemcpyDtoHAsync(void* destination, ulong source, nuint bytes, nint stream);
    CudaResult MemcpyDtoDAsync(ulong destination, ulong source, nuint bytes, nint stream);
    CudaResult MemsetD8Async(ulong destination, byte value, nuint count, nint stream);
    CudaResult MemsetD32Async(ulong destination, uint value, nuint count, nint stream);
    CudaResult DeviceGetDefaultMemPool(out nint pool, int device);
    CudaResult MemPoolSetAttribute(nint pool, MemPoolAttribute attribute, ulong value);
    CudaResult MemPoolGetAttribute(nint pool, MemPoolAttribute attribute, out ulong value);
    CudaResult MemPoolTrimTo(nint pool, nuint keepBytes);
    CudaResult TensorMapEncodeTiled(
        out TensorMap map, in TensorMapSpec spec, ReadOnlySpan<ulong> dims, ReadOnlySpan<ulong> strides,
        ReadOnlySpan<uint> box, ReadOnlySpan<uint> elementStrides);

    // Streams and events
    CudaResult StreamCreate(out nint stream, uint flags);
    CudaResult StreamDestroy(nint stream);
    CudaResult StreamSynchronize(nint stream);
    CudaResult StreamQuery(nint stream);
    CudaResult StreamWaitEvent(nint stream, nint waitFor, uint flags);
    CudaResult EventCreate(out nint created, uint flags);
    CudaResult EventDestroy(nint handle);
    CudaResult EventRecord(nint handle, nint stream);
    CudaResult EventSynchronize(nint handle);
    CudaResult EventQuery(nint handle);
    CudaResult EventElapsedTime(out float milliseconds, nint start, nint end);

    // Launches: the packed block is the entry's parameter list, laid out as the PTX declares it.
    CudaResult LaunchKernel(nint function, in LaunchShape shape, nint stream, void* packed, nuint packedBytes);

    // Graphs
    CudaResult StreamBeginCapture(nint stream, CaptureMode mode);
    CudaResult StreamEndCapture(out nint graph, nint stream);
    CudaResult GraphInstantiate(out nint executable, nint graph);
    CudaResult GraphExecUpdate(out GraphUpdateResult outcome, nint executable, nint graph);
    CudaResult GraphLaunch(nint executable, nint stream);
    CudaResult GraphGetNodeCount(out nuint count, nint graph);
    CudaResult GraphDestroy(nint graph);
    CudaResult GraphExecDestroy(nint executable);
}
