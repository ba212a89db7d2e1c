using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Runtime;

/// <summary>A mark in a stream: to wait for, or to measure from.</summary>
public sealed class CudaEvent : IDisposable
{
    private const uint DisableTiming = 2;
    private readonly CudaContext context;
    private nint handle;

    /// <summary>An event; one that is never measured is cheaper with <paramref name="timing"/> off.</summary>
    public CudaEvent(CudaContext context, bool timing = true)
    {
        ArgumentNullException.ThrowIfNull(context);
        this.context = context;
        context.Check(context.Driver.EventCreate(out handle, timing ? 0 : DisableTiming), "cuEventCreate");
    }

    /// <summary>The driver's handle.</summary>
    public nint Handle => handle;

    /// <summary>True when the stream has passed the mark.</summary>
    public bool IsDone
    {
        get
        {
            CudaResult result = context.Driver.EventQuery(handle);
            if (result != CudaResult.NotReady) context.Check(result, "cuEventQuery");
            return result == CudaResult.Success;
        }
    }

    /// <summary>Sets the mark after everything queued in <paramref name="stream"/> so far.</summary>
    public void Record(CudaStream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        context.Check(context.Driver.EventRecord(handle, stream.Handle), "cuEventRecord");
    }

    /// <summary>Waits until the mark is passed.</summary>
    public void Synchronize() => context.Check(context.Driver.EventSynchronize(handle), "cuEventSynchronize");

    /// <summary>Milliseconds from <paramref name="start"/> to this event; both must be passed.</summary>
    public float MillisecondsSince(CudaEvent start)
    {
        ArgumentNullException.ThrowIfNull(start);
        context.Check(
            context.Driver.EventElapsedTime(out float milliseconds, start.Handle, handle), "cuEventElapsedTime");
        return milliseconds;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (handle == 0) return;
        _ = context.Driver.EventDestroy(handle);
        handle = 0;
    }
}
