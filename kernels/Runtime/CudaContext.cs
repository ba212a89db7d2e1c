using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Runtime;

/// <summary>
/// One device opened through one driver: its primary context, its properties, a stream to work on and the memory pool.
/// Calls come from the thread that opened it, or from one that called <see cref="MakeCurrent"/>.
/// </summary>
public sealed class CudaContext : IDisposable
{
    private readonly nint handle;
    private bool disposed;

    private CudaContext(ICudaDriver driver, int device, nint handle)
    {
        (Driver, Device, this.handle) = (driver, device, handle);
        MakeCurrent();
        Properties = DeviceProperties.Read(this);
        Memory = new MemoryPool(this);
        Stream = new CudaStream(this);
        Modules = new ModuleCache(this);
    }

    /// <summary>The driver that every call goes to.</summary>
    public ICudaDriver Driver { get; }

    /// <summary>The driver's device number.</summary>
    public int Device { get; }

    /// <summary>Name, compute capability, limits.</summary>
    public DeviceProperties Properties { get; }

    /// <summary>Stream-ordered device memory.</summary>
    public MemoryPool Memory { get; }

    /// <summary>The stream that work goes to unless told otherwise.</summary>
    public CudaStream Stream { get; }

    /// <summary>The project's own kernels.</summary>
    public ModuleCache Modules { get; }

    /// <summary>
    /// Waits after every launch, so that a fault is reported at the kernel that made it. Slow; off by default.
    /// </summary>
    public bool SynchronizeAfterLaunch { get; set; }

    /// <summary>Repeats and times every launch while set.</summary>
    public LaunchTimer? Timer { get; set; }

    /// <summary>Opens device <paramref name="ordinal"/>.</summary>
    /// <exception cref="CudaException">The driver does not start or has no such device.</exception>
    public static CudaContext Open(ICudaDriver driver, int ordinal = 0)
    {
        ArgumentNullException.ThrowIfNull(driver);
        Check(driver, driver.Init(), "cuInit");
        Check(driver, driver.DeviceGet(out int device, ordinal), "cuDeviceGet", $"ordinal {ordinal}");
        Check(driver, driver.DevicePrimaryCtxRetain(out nint handle, device), "cuDevicePrimaryCtxRetain");
        return new CudaContext(driver, device, handle);
    }

    /// <summary>Makes this the calling thread's context.</summary>
    public void MakeCurrent() => Check(Driver.CtxSetCurrent(handle), "cuCtxSetCurrent");

    /// <summary>Waits for everything that was given to the device.</summary>
    public void Synchronize() => Check(Driver.CtxSynchronize(), "cuCtxSynchronize");

    /// <inheritdoc/>
    public void Dispose()
    {
        if (disposed) return;
        disposed = true;
        Modules.Dispose();
        Stream.Dispose();
        Memory.Dispose();
        _ = Driver.DevicePrimaryCtxRelease(Device);
    }

    internal void Check(CudaResult result, string call, string? detail = null)
    {
        if (result != CudaResult.Success) Throw(Driver, result, call, detail);
    }

    private static void Check(ICudaDriver driver, CudaResult result, string call, string? detail = null)
    {
        if (result != CudaResult.Success) Throw(driver, result, call, detail);
    }

    private static void Throw(ICudaDriver driver, CudaResult result, string call, string? detail)
    {
        string? fault = driver.LastFault;
        throw new CudaException(call, result, detail is null ? fault : fault is null ? detail : $"{detail}; {fault}");
    }
}
