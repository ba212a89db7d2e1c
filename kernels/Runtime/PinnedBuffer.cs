namespace CudaLora.Kernels.Runtime;

/// <summary>Host memory that the device copies from and to without a staging copy.</summary>
public sealed unsafe class PinnedBuffer<T> : IDisposable where T : unmanaged
{
    private readonly CudaContext context;
    private nint pointer;

    /// <summary>Room for <paramref name="count"/> elements, zeroed.</summary>
    public PinnedBuffer(CudaContext context, int count)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        (this.context, Count) = (context, count);
        if (count == 0) return;
        nuint bytes = checked((nuint)count * (nuint)sizeof(T));
        context.Check(context.Driver.MemHostAlloc(out pointer, bytes, 0), "cuMemHostAlloc", $"{bytes} bytes");
        Span.Clear();
    }

    /// <summary>Number of elements.</summary>
    public int Count { get; }

    /// <summary>The elements.</summary>
    public Span<T> Span
    {
        get
        {
            ObjectDisposedException.ThrowIf(pointer == 0 && Count != 0, this);
            return new Span<T>((void*)pointer, Count);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (pointer == 0) return;
        _ = context.Driver.MemFreeHost(pointer);
        pointer = 0;
    }
}
