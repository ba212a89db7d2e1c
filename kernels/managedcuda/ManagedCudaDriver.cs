using System.Text;
using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Driver;
using ManagedCuda.BasicTypes;
using static ManagedCuda.DriverAPINativeMethods;
using CudaContext = CudaLora.Kernels.Runtime.CudaContext;

namespace CudaLora.Kernels.ManagedCuda;

/// <summary>
/// The driver calls through the package ManagedCuda-12, for hosts that use it already: contexts, streams and device
/// pointers are the driver's own and can be shared. ManagedCuda 12.8 keeps launch attributes and tensor maps from its
/// users, so launches with a cluster of their own and TMA kernels are <see cref="CudaResult.NotSupported"/>.
/// </summary>
public sealed unsafe partial class ManagedCudaDriver : ICudaDriver
{
    /// <inheritdoc/>
    public string Name => "ManagedCuda";

    /// <inheritdoc/>
    public string? LastFault => null;

    /// <inheritdoc/>
    public IGemm CreateGemm(CudaContext context) => new ManagedCudaGemm();

    /// <inheritdoc/>
    public CudaResult Init() => (CudaResult)cuInit(CUInitializationFlags.None);

    /// <inheritdoc/>
    public CudaResult DriverGetVersion(out int version)
    {
        int versionOut = 0;
        var result = (CudaResult)cuDriverGetVersion(ref versionOut);
        version = versionOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult DeviceGetCount(out int count)
    {
        int countOut = 0;
        var result = (CudaResult)DeviceManagement.cuDeviceGetCount(ref countOut);
        count = countOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult DeviceGet(out int device, int ordinal)
    {
        CUdevice deviceOut = default;
        var result = (CudaResult)DeviceManagement.cuDeviceGet(ref deviceOut, ordinal);
        device = deviceOut.Pointer;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult DeviceGetName(out string name, int device)
    {
        byte[] nameOut = new byte[256];
        var result = (CudaResult)DeviceManagement.cuDeviceGetName(nameOut, nameOut.Length, Device(device));
        name = Encoding.UTF8.GetString(nameOut).TrimEnd('\0');
        return result;
    }

    /// <inheritdoc/>
    public CudaResult DeviceTotalMem(out ulong bytes, int device)
    {
        SizeT bytesOut = default;
        var result = (CudaResult)DeviceManagement.cuDeviceTotalMem_v2(ref bytesOut, Device(device));
        bytes = bytesOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult DeviceGetAttribute(out int value, DeviceAttribute attribute, int device)
    {
        int valueOut = 0;
        var result = (CudaResult)DeviceManagement.cuDeviceGetAttribute(
            ref valueOut, (CUDeviceAttribute)attribute, Device(device));
        value = valueOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult DevicePrimaryCtxRetain(out nint context, int device)
    {
        CUcontext contextOut = default;
        var result = (CudaResult)ContextManagement.cuDevicePrimaryCtxRetain(ref contextOut, Device(device));
        context = contextOut.Pointer;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult DevicePrimaryCtxRelease(int device) =>
        (CudaResult)ContextManagement.cuDevicePrimaryCtxRelease(Device(device));

    /// <inheritdoc/>
    public CudaResult CtxSetCurrent(nint context) => (CudaResult)ContextManagement.cuCtxSetCurrent(Context(context));

    /// <inheritdoc/>
    public CudaResult CtxSynchronize() => (CudaResult)ContextManagement.cuCtxSynchronize();

    /// <inheritdoc/>
    public CudaResult ModuleLoadDataEx(
        out nint module, ReadOnlySpan<byte> image, ReadOnlySpan<JitOption> options, Span<nint> values)
    {
        CUmodule moduleOut = default;
        CUJITOption[] names = Array.ConvertAll(options.ToArray(), option => (CUJITOption)option);
        nint[] both = values.ToArray();
        var result = (CudaResult)ModuleManagement.cuModuleLoadDataEx(
            ref moduleOut, image.ToArray(), (uint)names.Length, names, both);
        both.CopyTo(values);
        module = moduleOut.Pointer;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult ModuleUnload(nint module) => (CudaResult)ModuleManagement.cuModuleUnload(Module(module));

    /// <inheritdoc/>
    public CudaResult ModuleGetFunction(out nint function, nint module, string name)
    {
        CUfunction functionOut = default;
        var result = (CudaResult)ModuleManagement.cuModuleGetFunction(ref functionOut, Module(module), name);
        function = functionOut.Pointer;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult ModuleGetGlobal(out ulong address, out nuint bytes, nint module, string name)
    {
        CUdeviceptr addressOut = default;
        SizeT bytesOut = default;
        var result = (CudaResult)ModuleManagement.cuModuleGetGlobal_v2(
            ref addressOut, ref bytesOut, Module(module), name);
        address = addressOut.Pointer;
        bytes = (nuint)(ulong)bytesOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult FuncGetAttribute(out int value, FunctionAttribute attribute, nint function)
    {
        int valueOut = 0;
        var result = (CudaResult)FunctionManagement.cuFuncGetAttribute(
            ref valueOut, (CUFunctionAttribute)attribute, Function(function));
        value = valueOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult FuncSetAttribute(nint function, FunctionAttribute attribute, int value) =>
        (CudaResult)FunctionManagement.cuFuncSetAttribute(Function(function), (CUFunctionAttribute)attribute, value);

    /// <inheritdoc/>
    public CudaResult OccupancyMaxActiveBlocksPerMultiprocessor(
        out int blocks, nint function, int blockThreads, nuint dynamicShared)
    {
        int blocksOut = 0;
        var result = (CudaResult)Occupancy.cuOccupancyMaxActiveBlocksPerMultiprocessor(
            ref blocksOut, Function(function), blockThreads, (ulong)dynamicShared);
        blocks = blocksOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult MemAlloc(out ulong address, nuint bytes)
    {
        CUdeviceptr addressOut = default;
        var result = (CudaResult)MemoryManagement.cuMemAlloc_v2(ref addressOut, (ulong)bytes);
        address = addressOut.Pointer;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult MemFree(ulong address) => (CudaResult)MemoryManagement.cuMemFree_v2(Pointer(address));

    /// <inheritdoc/>
    public CudaResult MemAllocAsync(out ulong address, nuint bytes, nint stream)
    {
        CUdeviceptr addressOut = default;
        var result = (CudaResult)MemoryManagement.cuMemAllocAsync(ref addressOut, (ulong)bytes, Stream(stream));
        address = addressOut.Pointer;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult MemFreeAsync(ulong address, nint stream) =>
        (CudaResult)MemoryManagement.cuMemFreeAsync(Pointer(address), Stream(stream));

    /// <inheritdoc/>
    public CudaResult MemGetInfo(out nuint free, out nuint total)
    {
        SizeT freeOut = default;
        SizeT totalOut = default;
        var result = (CudaResult)MemoryManagement.cuMemGetInfo_v2(ref freeOut, ref totalOut);
        free = (nuint)(ulong)freeOut;
        total = (nuint)(ulong)totalOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult MemHostAlloc(out nint pointer, nuint bytes, uint flags)
    {
        nint pointerOut = 0;
        var result = (CudaResult)MemoryManagement.cuMemHostAlloc(
            ref pointerOut, (ulong)bytes, (CUMemHostAllocFlags)flags);
        pointer = pointerOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult MemFreeHost(nint pointer) => (CudaResult)MemoryManagement.cuMemFreeHost(pointer);

    /// <inheritdoc/>
    public CudaResult MemcpyHtoDAsync(ulong destination, void* source, nuint bytes, nint stream) =>
        (CudaResult)AsynchronousMemcpy_v2.cuMemcpyHtoDAsync_v2(
            Pointer(destination), (nint)source, (ulong)bytes, Stream(stream));

    /// <inheritdoc/>
    public CudaResult MemcpyDtoHAsync(void* destination, ulong source, nuint bytes, nint stream) =>
        (CudaResult)AsynchronousMemcpy_v2.cuMemcpyDtoHAsync_v2(
            (nint)destination, Pointer(source), (ulong)bytes, Stream(stream));

    /// <inheritdoc/>
    public CudaResult MemcpyDtoDAsync(ulong destination, ulong source, nuint bytes, nint stream) =>
        (CudaResult)AsynchronousMemcpy_v2.cuMemcpyDtoDAsync_v2(
            Pointer(destination), Pointer(source), (ulong)bytes, Stream(stream));

    /// <inheritdoc/>
    public CudaResult MemsetD8Async(ulong destination, byte value, nuint count, nint stream) =>
        (CudaResult)MemsetAsync.cuMemsetD8Async(Pointer(destination), value, (ulong)count, Stream(stream));

    /// <inheritdoc/>
    public CudaResult MemsetD32Async(ulong destination, uint value, nuint count, nint stream) =>
        (CudaResult)MemsetAsync.cuMemsetD32Async(Pointer(destination), value, (ulong)count, Stream(stream));

    /// <inheritdoc/>
    public CudaResult DeviceGetDefaultMemPool(out nint pool, int device)
    {
        CUmemoryPool poolOut = default;
        var result = (CudaResult)DeviceManagement.cuDeviceGetDefaultMemPool(ref poolOut, Device(device));
        pool = poolOut.Pointer;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult MemPoolSetAttribute(nint pool, MemPoolAttribute attribute, ulong value) =>
        (CudaResult)MemoryManagement.cuMemPoolSetAttribute(Pool(pool), (CUmemPool_attribute)attribute, ref value);

    /// <inheritdoc/>
    public CudaResult MemPoolGetAttribute(nint pool, MemPoolAttribute attribute, out ulong value)
    {
        ulong valueOut = 0;
        var result = (CudaResult)MemoryManagement.cuMemPoolGetAttribute(
            Pool(pool), (CUmemPool_attribute)attribute, ref valueOut);
        value = valueOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult MemPoolTrimTo(nint pool, nuint keepBytes) =>
        (CudaResult)MemoryManagement.cuMemPoolTrimTo(Pool(pool), (ulong)keepBytes);

    /// <inheritdoc/>
    public CudaResult TensorMapEncodeTiled(
        out TensorMap map, in TensorMapSpec spec, ReadOnlySpan<ulong> dims, ReadOnlySpan<ulong> strides,
        ReadOnlySpan<uint> box, ReadOnlySpan<uint> elementStrides)
    {
        // As an array ManagedCuda marshals the map to memory that need not be 64-byte aligned, as the driver demands.
        map = default;
        return CudaResult.NotSupported;
    }

    private static CUdevice Device(int handle) => new() { Pointer = handle };

    private static CUstream Stream(nint handle) => new() { Pointer = handle };

    private static CUfunction Function(nint handle) => new() { Pointer = handle };

    private static CUmodule Module(nint handle) => new() { Pointer = handle };

    private static CUdeviceptr Pointer(ulong handle) => new() { Pointer = handle };

    private static CUmemoryPool Pool(nint handle) => new() { Pointer = handle };

    private static CUevent Event(nint handle) => new() { Pointer = handle };

    private static CUgraph Graph(nint handle) => new() { Pointer = handle };

    private static CUgraphExec Executable(nint handle) => new() { Pointer = handle };

    private static CUcontext Context(nint handle) => new() { Pointer = handle };
}
