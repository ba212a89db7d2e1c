namespace CudaLora.Kernels.Driver;

// Devices, contexts, modules, functions. One field per symbol, one method per call.
public sealed unsafe partial class LibCuda
{
    private readonly delegate* unmanaged<uint, CudaResult> init;
    private readonly delegate* unmanaged<int*, CudaResult> driverGetVersion;
    private readonly delegate* unmanaged<int*, CudaResult> deviceGetCount;
    private readonly delegate* unmanaged<int*, int, CudaResult> deviceGet;
    private readonly delegate* unmanaged<ulong*, int, CudaResult> deviceTotalMem;
    private readonly delegate* unmanaged<int*, DeviceAttribute, int, CudaResult> deviceGetAttribute;
    private readonly delegate* unmanaged<nint*, int, CudaResult> devicePrimaryCtxRetain;
    private readonly delegate* unmanaged<int, CudaResult> devicePrimaryCtxRelease;
    private readonly delegate* unmanaged<nint, CudaResult> ctxSetCurrent;
    private readonly delegate* unmanaged<CudaResult> ctxSynchronize;
    private readonly delegate* unmanaged<nint, CudaResult> moduleUnload;
    private readonly delegate* unmanaged<int*, FunctionAttribute, nint, CudaResult> funcGetAttribute;
    private readonly delegate* unmanaged<nint, FunctionAttribute, int, CudaResult> funcSetAttribute;
    private readonly delegate* unmanaged<int*, nint, int, nuint, CudaResult> occupancyMaxActiveBlocksPerMultiprocessor;

    /// <inheritdoc/>
    public CudaResult Init() => init(0);

    /// <inheritdoc/>
    public CudaResult DriverGetVersion(out int version)
    {
        int versionOut = default;
        CudaResult result = driverGetVersion(&versionOut);
        version = versionOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult DeviceGetCount(out int count)
    {
        int countOut = default;
        CudaResult result = deviceGetCount(&countOut);
        count = countOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult DeviceGet(out int device, int ordinal)
    {
        int deviceOut = default;
        CudaResult result = deviceGet(&deviceOut, ordinal);
        device = deviceOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult DeviceTotalMem(out ulong bytes, int device)
    {
        ulong bytesOut = default;
        CudaResult result = deviceTotalMem(&bytesOut, device);
        bytes = bytesOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult DeviceGetAttribute(out int value, DeviceAttribute attribute, int device)
    {
        int valueOut = default;
        CudaResult result = deviceGetAttribute(&valueOut, attribute, device);
        value = valueOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult DevicePrimaryCtxRetain(out nint context, int device)
    {
        nint contextOut = default;
        CudaResult result = devicePrimaryCtxRetain(&contextOut, device);
        context = contextOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult DevicePrimaryCtxRelease(int device) => devicePrimaryCtxRelease(device);

    /// <inheritdoc/>
    public CudaResult CtxSetCurrent(nint context) => ctxSetCurrent(context);

    /// <inheritdoc/>
    public CudaResult CtxSynchronize() => ctxSynchronize();

    /// <inheritdoc/>
    public CudaResult ModuleUnload(nint module) => moduleUnload(module);

    /// <inheritdoc/>
    public CudaResult FuncGetAttribute(out int value, FunctionAttribute attribute, nint function)
    {
        int valueOut = default;
        CudaResult result = funcGetAttribute(&valueOut, attribute, function);
        value = valueOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult FuncSetAttribute(nint function, FunctionAttribute attribute, int value) =>
        funcSetAttribute(function, attribute, value);

    /// <inheritdoc/>
    public CudaResult OccupancyMaxActiveBlocksPerMultiprocessor(
        out int blocks, nint function, int blockThreads, nuint dynamicShared)
    {
        int blocksOut = default;
        CudaResult result = occupancyMaxActiveBlocksPerMultiprocessor(
            &blocksOut, function, blockThreads, dynamicShared);
        blocks = blocksOut;
        return result;
    }
}
