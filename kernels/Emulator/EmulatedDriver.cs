using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// The CUDA driver's calls served by the emulator: one device of compute capability 9.0 whose streams run each call to
/// its
/// end before it returns. Faults are returned by the launch that made them, told by <see cref="LastFault"/>, and stay
/// with
/// the context until it is released, as on a GPU. Nothing chooses this driver by itself.
/// </summary>
public sealed unsafe partial class EmulatedDriver : ICudaDriver, IDisposable
{
    private readonly ConcurrentDictionary<nint, object> handles = new();
    private readonly ulong capacity;
    private long nextHandle = 0x1000;
    private CudaResult sticky;

    /// <summary>A driver with an emulator of its own.</summary>
    /// <param name="options">How it runs kernels; all checks on by default.</param>
    /// <param name="memoryBytes">Device memory it pretends to have.</param>
    public EmulatedDriver(EmulatorOptions? options = null, long memoryBytes = 8L << 30)
    {
        Emulator = new Emulator(options);
        capacity = (ulong)memoryBytes;
    }

    /// <summary>The emulator behind it.</summary>
    public Emulator Emulator { get; }

    /// <summary>Gets the report of every launch, faulted ones included, as it ends.</summary>
    public Action<LaunchReport>? Launched { get; set; }

    /// <summary>Follows one lane of every launch; null for none.</summary>
    public Trace? Trace { get; set; }

    /// <inheritdoc/>
    public string Name => "PTX emulator";

    /// <inheritdoc/>
    public string? LastFault { get; private set; }

    /// <inheritdoc/>
    public bool KeepsTime => Emulator.Options.KeepsTime;

    /// <inheritdoc/>
    public IGemm CreateGemm(CudaContext context) =>
        Emulator.Options.CountsProducts ? new PtxGemm(context) : new EmulatedGemm(this);

    /// <inheritdoc/>
    public CudaResult Init() => CudaResult.Success;

    /// <inheritdoc/>
    public CudaResult DriverGetVersion(out int version)
    {
        version = 12040;
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult DeviceGetCount(out int count)
    {
        count = 1;
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult DeviceGet(out int device, int ordinal)
    {
        device = 0;
        return ordinal == 0 ? CudaResult.Success : CudaResult.InvalidDevice;
    }

    /// <inheritdoc/>
    public CudaResult DeviceGetName(out string name, int device)
    {
        name = "PTX emulator (sm_90)";
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult DeviceTotalMem(out ulong bytes, int device)
    {
        bytes = capacity;
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult DeviceGetAttribute(out int value, DeviceAttribute attribute, int device)
    {
        value = attribute switch
        {
            DeviceAttribute.MaxThreadsPerBlock or DeviceAttribute.MaxBlockDimX or DeviceAttribute.MaxBlockDimY => 1024,
            DeviceAttribute.MaxBlockDimZ => 64,
            DeviceAttribute.MaxGridDimX => int.MaxValue,
            DeviceAttribute.MaxGridDimY or DeviceAttribute.MaxGridDimZ => 65535,
            DeviceAttribute.MaxSharedMemoryPerBlock => DefaultShared,
            DeviceAttribute.MaxSharedMemoryPerBlockOptIn => Emulator.MaxSharedBytes,
            DeviceAttribute.MaxSharedMemoryPerMultiprocessor => 228 * 1024,
            DeviceAttribute.MaxRegistersPerMultiprocessor => 65536,
            DeviceAttribute.MaxThreadsPerMultiprocessor => 2048,
            DeviceAttribute.WarpSize => 32,
            DeviceAttribute.MultiprocessorCount => 132,
            DeviceAttribute.ComputeCapabilityMajor => 9,
            DeviceAttribute.L2CacheBytes => 50 << 20,
            DeviceAttribute.MemoryPoolsSupported or DeviceAttribute.ClusterLaunch => 1,
            DeviceAttribute.TensorMapAccessSupported => 1,
            // Clocks and bus width: it has none.
            _ => 0,
        };
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult DevicePrimaryCtxRetain(out nint context, int device)
    {
        context = 1;
        return device == 0 ? CudaResult.Success : CudaResult.InvalidDevice;
    }

    /// <inheritdoc/>
    public CudaResult DevicePrimaryCtxRelease(int device)
    {
        (sticky, LastFault) = (CudaResult.Success, null);
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult CtxSetCurrent(nint context) => CudaResult.Success;

    /// <inheritdoc/>
    public CudaResult CtxSynchronize() => IsCapturing ? CudaResult.StreamCaptureUnsupported : sticky;

    /// <summary>Frees all device memory.</summary>
    public void Dispose() => Emulator.Dispose();

    private nint Add(object value)
    {
        var handle = (nint)Interlocked.Add(ref nextHandle, 16);
        handles[handle] = value;
        return handle;
    }

    private bool TryGet<T>(nint handle, [NotNullWhen(true)] out T? value) where T : class
    {
        value = handles.TryGetValue(handle, out object? found) ? found as T : null;
        if (value is null) LastFault = $"no {typeof(T).Name} has the handle 0x{handle:x}";
        return value is not null;
    }

    private CudaResult Remove(nint handle) =>
        handles.TryRemove(handle, out _) ? CudaResult.Success : CudaResult.InvalidHandle;

    // What the emulator refuses from the host's side becomes a result and a text.
    private CudaResult Refused(CudaResult result, string why)
    {
        LastFault = why;
        return result;
    }
}
