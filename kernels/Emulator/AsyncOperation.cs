namespace CudaLora.Kernels.Emulator;

/// <summary>
/// Asynchronous work in flight. Finishing it first finishes what it must come after. Operations are pooled by their
/// cluster, so that a kernel's steady state allocates nothing.
/// </summary>
internal abstract class AsyncOperation
{
    public bool Done { get; private set; }

    /// <summary>Work that must complete before this; null when there is none.</summary>
    public AsyncOperation? After { get; set; }

    /// <summary>Changes each time the object is used again.</summary>
    public long Serial { get; private set; }

    /// <summary>Makes the object a new operation.</summary>
    public void Renew()
    {
        Done = false;
        After = null;
        Serial++;
    }

    public void Finish(Cluster cluster)
    {
        if (Done) return;
        After?.Finish(cluster);
        After = null;
        Done = true;
        cluster.Pending.Remove(this);
        cluster.Progress++;
        Complete(cluster);
    }

    /// <summary>True when its bytes complete on that phase of the barrier.</summary>
    public virtual bool Targets(MBarrier barrier, long phase) => false;

    /// <summary>The fault when that phase completes while this is in flight.</summary>
    public virtual FaultSignal TooLate(MBarrier barrier) => throw new InvalidOperationException();

    /// <summary>The fault when the cluster ends while this is in flight; null when it may.</summary>
    public virtual FaultSignal? Abandoned() => null;

    protected abstract void Complete(Cluster cluster);
}

/// <summary>Operations of one kind that are not in use.</summary>
internal sealed class OperationPool<T>
    where T : AsyncOperation, new()
{
    private readonly Stack<T> _free = new();

    public T Rent()
    {
        if (!_free.TryPop(out T? operation)) operation = new T();
        operation.Renew();
        return operation;
    }

    public void Return(T operation) => _free.Push(operation);
}
