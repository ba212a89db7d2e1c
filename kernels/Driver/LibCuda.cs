using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Text;
using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Driver;

/// <summary>
/// The CUDA driver itself: libcuda.so.1 or nvcuda.dll, CUDA 12.0 or newer, called through unmanaged function pointers.
/// A machine without it is an ordinary answer of <see cref="TryLoad(out LibCuda?, out string)"/>, not an exception.
/// </summary>
public sealed unsafe partial class LibCuda : ICudaDriver
{
    private readonly delegate* unmanaged<byte*, int, int, CudaResult> deviceGetName;
    private readonly delegate* unmanaged<nint*, byte*, uint, JitOption*, nint*, CudaResult> moduleLoadDataEx;
    private readonly delegate* unmanaged<nint*, nint, byte*, CudaResult> moduleGetFunction;
    private readonly delegate* unmanaged<ulong*, nuint*, nint, byte*, CudaResult> moduleGetGlobal;
    private readonly delegate* unmanaged<nint, MemPoolAttribute, ulong*, CudaResult> memPoolSetAttribute;
    private readonly delegate* unmanaged<nint, MemPoolAttribute, ulong*, CudaResult> memPoolGetAttribute;
    private readonly delegate* unmanaged<nint, nint, GraphUpdateInfo*, CudaResult> graphExecUpdate;
    private readonly delegate* unmanaged<
        nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, CudaResult> launchKernel;
    private readonly delegate* unmanaged<LaunchConfig*, nint, void**, void**, CudaResult> launchKernelEx;
    private readonly delegate* unmanaged<
        TensorMap*, TensorMapType, uint, ulong, ulong*, ulong*, uint*, uint*, int, TensorMapSwizzle,
        TensorMapPromotion, int, CudaResult> tensorMapEncodeTiled;

    private LibCuda(string library, SymbolFinder find)
    {
        init = (delegate* unmanaged<uint, CudaResult>)find.Symbol("cuInit");
        driverGetVersion = (delegate* unmanaged<int*, CudaResult>)find.Symbol("cuDriverGetVersion");
        deviceGetCount = (delegate* unmanaged<int*, CudaResult>)find.Symbol("cuDeviceGetCount");
        deviceGet = (delegate* unmanaged<int*, int, CudaResult>)find.Symbol("cuDeviceGet");
        deviceTotalMem = (delegate* unmanaged<ulong*, int, CudaResult>)find.Symbol("cuDeviceTotalMem_v2");
        deviceGetAttribute =
            (delegate* unmanaged<int*, DeviceAttribute, int, CudaResult>)find.Symbol("cuDeviceGetAttribute");
        devicePrimaryCtxRetain = (delegate* unmanaged<nint*, int, CudaResult>)find.Symbol("cuDevicePrimaryCtxRetain");
        devicePrimaryCtxRelease = (delegate* unmanaged<int, CudaResult>)find.Symbol("cuDevicePrimaryCtxRelease_v2");
        ctxSetCurrent = (delegate* unmanaged<nint, CudaResult>)find.Symbol("cuCtxSetCurrent");
        ctxSynchronize = (delegate* unmanaged<CudaResult>)find.Symbol("cuCtxSynchronize");
        moduleUnload = (delegate* unmanaged<nint, CudaResult>)find.Symbol("cuModuleUnload");
        funcGetAttribute =
            (delegate* unmanaged<int*, FunctionAttribute, nint, CudaResult>)find.Symbol("cuFuncGetAttribute");
        funcSetAttribute =
            (delegate* unmanaged<nint, FunctionAttribute, int, CudaResult>)find.Symbol("cuFuncSetAttribute");
        occupancyMaxActiveBlocksPerMultiprocessor =
            (delegate* unmanaged<int*, nint, int, nuint, CudaResult>)find.Symbol(
                "cuOccupancyMaxActiveBlocksPerMultiprocessor");
        memAlloc = (delegate* unmanaged<ulong*, nuint, CudaResult>)find.Symbol("cuMemAlloc_v2");
        memFree = (delegate* unmanaged<ulong, CudaResult>)find.Symbol("cuMemFree_v2");
        memAllocAsync = (delegate* unmanaged<ulong*, nuint, nint, CudaResult>)find.Symbol("cuMemAllocAsync");
        memFreeAsync = (delegate* unmanaged<ulong, nint, CudaResult>)find.Symbol("cuMemFreeAsync");
        memGetInfo = (delegate* unmanaged<nuint*, nuint*, CudaResult>)find.Symbol("cuMemGetInfo_v2");
        memHostAlloc = (delegate* unmanaged<nint*, nuint, uint, CudaResult>)find.Symbol("cuMemHostAlloc");
        memFreeHost = (delegate* unmanaged<nint, CudaResult>)find.Symbol("cuMemFreeHost");
        memcpyHtoDAsync =
            (delegate* unmanaged<ulong, void*, nuint, nint, CudaResult>)find.Symbol("cuMemcpyHtoDAsync_v2");
        memcpyDtoHAsync =
            (delegate* unmanaged<void*, ulong, nuint, nint, CudaResult>)find.Symbol("cuMemcpyDtoHAsync_v2");
        memcpyDtoDAsync =
            (delegate* unmanaged<ulong, ulong, nuint, nint, CudaResult>)find.Symbol("cuMemcpyDtoDAsync_v2");
        memsetD8Async = (delegate* unmanaged<ulong, byte, nuint, nint, CudaResult>)find.Symbol("cuMemsetD8Async");
        memsetD32Async = (delegate* unmanaged<ulong, uint, nuint, nint, CudaResult>)find.Symbol("cuMemsetD32Async");
        deviceGetDefaultMemPool =
            (delegate* unmanaged<nint*, int, CudaResult>)find.Symbol("cuDeviceGetDefaultMemPool");
        memPoolTrimTo = (delegate* unmanaged<nint, nuint, CudaResult>)find.Symbol("cuMemPoolTrimTo");
        streamCreate = (delegate* unmanaged<nint*, uint, CudaResult>)find.Symbol("cuStreamCreate");
        streamDestroy = (delegate* unmanaged<nint, CudaResult>)find.Symbol("cuStreamDestroy_v2");
        streamSynchronize = (delegate* unmanaged<nint, CudaResult>)find.Symbol("cuStreamSynchronize");
        streamQuery = (delegate* unmanaged<nint, CudaResult>)find.Symbol("cuStreamQuery");
        streamWaitEvent = (delegate* unmanaged<nint, nint, uint, CudaResult>)find.Symbol("cuStreamWaitEvent");
        eventCreate = (delegate* unmanaged<nint*, uint, CudaResult>)find.Symbol("cuEventCreate");
        eventDestroy = (delegate* unmanaged<nint, CudaResult>)find.Symbol("cuEventDestroy_v2");
        eventRecord = (delegate* unmanaged<nint, nint, CudaResult>)find.Symbol("cuEventRecord");
        eventSynchronize = (delegate* unmanaged<nint, CudaResult>)find.Symbol("cuEventSynchronize");
        eventQuery = (delegate* unmanaged<nint, CudaResult>)find.Symbol("cuEventQuery");
        eventElapsedTime = (delegate* unmanaged<float*, nint, nint, CudaResult>)find.Symbol("cuEventElapsedTime");
        streamBeginCapture =
            (delegate* unmanaged<nint, CaptureMode, CudaResult>)find.Symbol("cuStreamBeginCapture_v2");
        streamEndCapture = (delegate* unmanaged<nint, nint*, CudaResult>)find.Symbol("cuStreamEndCapture");
        graphInstantiate =
            (delegate* unmanaged<nint*, nint, ulong, CudaResult>)find.Symbol("cuGraphInstantiateWithFlags");
        graphLaunch = (delegate* unmanaged<nint, nint, CudaResult>)find.Symbol("cuGraphLaunch");
        graphGetNodeCount = (delegate* unmanaged<nint, nint*, nuint*, CudaResult>)find.Symbol("cuGraphGetNodes");
        graphDestroy = (delegate* unmanaged<nint, CudaResult>)find.Symbol("cuGraphDestroy");
        graphExecDestroy = (delegate* unmanaged<nint, CudaResult>)find.Symbol("cuGraphExecDestroy");
        deviceGetName = (delegate* unmanaged<byte*, int, int, CudaResult>)find.Symbol("cuDeviceGetName");
        moduleLoadDataEx = (delegate* unmanaged<nint*, byte*, uint, JitOption*, nint*, CudaResult>)find.Symbol(
            "cuModuleLoadDataEx");
        moduleGetFunction = (delegate* unmanaged<nint*, nint, byte*, CudaResult>)find.Symbol("cuModuleGetFunction");
        moduleGetGlobal =
            (delegate* unmanaged<ulong*, nuint*, nint, byte*, CudaResult>)find.Symbol("cuModuleGetGlobal_v2");
        memPoolSetAttribute =
            (delegate* unmanaged<nint, MemPoolAttribute, ulong*, CudaResult>)find.Symbol("cuMemPoolSetAttribute");
        memPoolGetAttribute =
            (delegate* unmanaged<nint, MemPoolAttribute, ulong*, CudaResult>)find.Symbol("cuMemPoolGetAttribute");
        graphExecUpdate =
            (delegate* unmanaged<nint, nint, GraphUpdateInfo*, CudaResult>)find.Symbol("cuGraphExecUpdate_v2");
        launchKernel = (delegate* unmanaged<
            nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, CudaResult>)find.Symbol(
                "cuLaunchKernel");
        launchKernelEx =
            (delegate* unmanaged<LaunchConfig*, nint, void**, void**, CudaResult>)find.Symbol("cuLaunchKernelEx");
        tensorMapEncodeTiled = (delegate* unmanaged<
            TensorMap*, TensorMapType, uint, ulong, ulong*, ulong*, uint*, uint*, int, TensorMapSwizzle,
            TensorMapPromotion, int, CudaResult>)find.Symbol("cuTensorMapEncodeTiled");
        Name = library;
    }

    /// <inheritdoc/>
    public string Name { get; private set; }

    /// <inheritdoc/>
    public string? LastFault => null;

    /// <summary>
    /// cuBLASLt where it loads, its choices kept in the user's cache folder; else the project's own kernels.
    /// </summary>
    public IGemm CreateGemm(CudaContext context) =>
        CublasGemm.TryCreate(context, out CublasGemm? gemm, out _, AlgorithmCache.DefaultFile)
            ? gemm
            : new PtxGemm(context);

    /// <summary>Loads the driver this operating system names libcuda.so.1 or nvcuda.dll.</summary>
    public static bool TryLoad([NotNullWhen(true)] out LibCuda? driver, out string reason) =>
        TryLoad(OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1", out driver, out reason);

    /// <summary>
    /// Loads the driver from a library name or path; without it <paramref name="reason"/> says what failed.
    /// </summary>
    public static bool TryLoad(string library, [NotNullWhen(true)] out LibCuda? driver, out string reason)
    {
        driver = null;
        if (!NativeLibrary.TryLoad(library, out nint handle))
        {
            reason = $"{library} was not found: no NVIDIA driver on this machine";
            return false;
        }
        var find = new SymbolFinder(handle);
        var candidate = new LibCuda(library, find);
        if (find.Missing is not null)
        {
            NativeLibrary.Free(handle);
            reason = $"{library} lacks {find.Missing}: a driver for CUDA 12.0 or newer is needed";
            return false;
        }
        if (candidate.DriverGetVersion(out int version) == CudaResult.Success)
            candidate.Name = $"{library}, CUDA {version / 1000}.{version % 1000 / 10}";
        driver = candidate;
        reason = candidate.Name;
        return true;
    }

    /// <inheritdoc/>
    public CudaResult DeviceGetName(out string name, int device)
    {
        byte* buffer = stackalloc byte[256];
        CudaResult result = deviceGetName(buffer, 255, device);
        name = result == CudaResult.Success ? Marshal.PtrToStringUTF8((nint)buffer)! : "";
        return result;
    }

    /// <inheritdoc/>
    public CudaResult ModuleLoadDataEx(
        out nint module, ReadOnlySpan<byte> image, ReadOnlySpan<JitOption> options, Span<nint> values)
    {
        nint moduleOut = 0;
        fixed (byte* text = image)
        fixed (JitOption* option = options)
        fixed (nint* value = values)
        {
            CudaResult result = moduleLoadDataEx(&moduleOut, text, (uint)options.Length, option, value);
            module = moduleOut;
            return result;
        }
    }

    /// <inheritdoc/>
    public CudaResult ModuleGetFunction(out nint function, nint module, string name)
    {
        nint functionOut = 0;
        fixed (byte* text = Encoding.UTF8.GetBytes(name + '\0'))
        {
            CudaResult result = moduleGetFunction(&functionOut, module, text);
            function = functionOut;
            return result;
        }
    }

    /// <inheritdoc/>
    public CudaResult ModuleGetGlobal(out ulong address, out nuint bytes, nint module, string name)
    {
        ulong addressOut = 0;
        nuint bytesOut = 0;
        fixed (byte* text = Encoding.UTF8.GetBytes(name + '\0'))
        {
            CudaResult result = moduleGetGlobal(&addressOut, &bytesOut, module, text);
            (address, bytes) = (addressOut, bytesOut);
            return result;
        }
    }

    /// <inheritdoc/>
    public CudaResult MemPoolSetAttribute(nint pool, MemPoolAttribute attribute, ulong value) =>
        memPoolSetAttribute(pool, attribute, &value);

    /// <inheritdoc/>
    public CudaResult MemPoolGetAttribute(nint pool, MemPoolAttribute attribute, out ulong value)
    {
        ulong valueOut = 0;
        CudaResult result = memPoolGetAttribute(pool, attribute, &valueOut);
        value = valueOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult GraphExecUpdate(out GraphUpdateResult outcome, nint executable, nint graph)
    {
        GraphUpdateInfo info = default;
        CudaResult result = graphExecUpdate(executable, graph, &info);
        outcome = info.Result;
        return result;
    }
}
