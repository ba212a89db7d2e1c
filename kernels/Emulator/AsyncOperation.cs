namespace CudaLora.Kernels.Emulator;

/// <summary>Asynchronous work in flight. Finishing it first finishes what it must come after.</summary>
internal abstract class AsyncOperation
{
    public bool Done { get; private set; }

    /// <summary>Work that must complete before this; null when there is none.</summary>
    public AsyncOperation? After { get; set; }

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

    protected abstract void Complete(Cluster cluster);
}
