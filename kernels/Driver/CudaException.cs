namespace CudaLora.Kernels.Driver;

/// <summary>
/// A driver call failed: which call, the code and its name, and for launches the kernel and the shape.
/// </summary>
public class CudaException : Exception
{
    /// <summary>A call with whatever else is known, for example the JIT compiler's log.</summary>
    public CudaException(string call, CudaResult result, string? detail = null)
        : base(Text(call, result, detail)) => (Call, Result) = (call, result);

    /// <summary>A launch.</summary>
    public CudaException(string call, CudaResult result, string kernel, LaunchShape shape)
        : base(Text(call, result, $"kernel {kernel}, {shape}")) =>
        (Call, Result, Kernel, Shape) = (call, result, kernel, shape);

    /// <summary>The driver function, for example cuLaunchKernel.</summary>
    public string Call { get; }

    /// <summary>What it returned.</summary>
    public CudaResult Result { get; }

    /// <summary>The entry that was launched, if it was a launch.</summary>
    public string? Kernel { get; }

    /// <summary>The shape it was launched with.</summary>
    public LaunchShape Shape { get; }

    private static string Text(string call, CudaResult result, string? detail) =>
        $"[{call}] must succeed, but returned {(int)result} {result.DriverName()}"
        + (detail is null ? "" : $" ({detail})")
        + (result.IsSticky() ? "; this context cannot be used any more" : "");
}

/// <summary>Device memory ran out.</summary>
public sealed class CudaOutOfMemoryException(string call, ulong asked, ulong inUse, ulong free, ulong total)
    : CudaException(
        call, CudaResult.OutOfMemory,
        $"asked for {Mib(asked)}, in use by this process {Mib(inUse)}, free {Mib(free)} of {Mib(total)}")
{
    /// <summary>Bytes asked for.</summary>
    public ulong Asked { get; } = asked;

    /// <summary>Bytes this pool has handed out.</summary>
    public ulong InUse { get; } = inUse;

    /// <summary>Bytes the device has free.</summary>
    public ulong Free { get; } = free;

    /// <summary>Bytes the device has.</summary>
    public ulong Total { get; } = total;

    private static string Mib(ulong bytes) =>
        string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{bytes / 1048576.0:F1} MiB");
}
