using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Runtime;

/// <summary>A recorded sequence of device work that one call replays.</summary>
public sealed class CudaGraph : IDisposable
{
    private readonly CudaContext context;
    private nint executable;

    private CudaGraph(CudaContext context, nint executable, int nodes) =>
        (this.context, this.executable, Nodes) = (context, executable, nodes);

    /// <summary>Launches, copies and fills in one replay.</summary>
    public int Nodes { get; private set; }

    /// <summary>
    /// Records what <paramref name="body"/> queues in <paramref name="stream"/>; nothing runs. Inside, no synchronising
    /// and no first use of a kernel. The capture is relaxed: <see cref="MemoryPool.AllocateLasting"/> may be called.
    /// </summary>
    public static CudaGraph Capture(CudaStream stream, Action body)
    {
        nint graph = Record(stream, body, out int nodes);
        CudaContext context = stream.Context;
        try
        {
            context.Check(context.Driver.GraphInstantiate(out nint executable, graph), "cuGraphInstantiate");
            return new CudaGraph(context, executable, nodes);
        }
        finally
        {
            _ = context.Driver.GraphDestroy(graph);
        }
    }

    /// <summary>
    /// Takes over new arguments from another recording of the same sequence, or builds anew when the driver says that
    /// the sequence itself has changed. True when it could be updated in place.
    /// </summary>
    public bool Update(CudaStream stream, Action body)
    {
        nint graph = Record(stream, body, out int nodes);
        try
        {
            CudaResult result = context.Driver.GraphExecUpdate(out _, executable, graph);
            Nodes = nodes;
            if (result == CudaResult.Success) return true;
            if (result != CudaResult.GraphExecUpdateFailure) context.Check(result, "cuGraphExecUpdate");
            context.Check(context.Driver.GraphInstantiate(out nint rebuilt, graph), "cuGraphInstantiate");
            _ = context.Driver.GraphExecDestroy(executable);
            executable = rebuilt;
            return false;
        }
        finally
        {
            _ = context.Driver.GraphDestroy(graph);
        }
    }

    /// <summary>Queues one replay.</summary>
    public void Launch(CudaStream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        context.Check(context.Driver.GraphLaunch(executable, stream.Handle), "cuGraphLaunch");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (executable == 0) return;
        _ = context.Driver.GraphExecDestroy(executable);
        executable = 0;
    }

    private static nint Record(CudaStream stream, Action body, out int nodes)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(body);
        ICudaDriver driver = stream.Context.Driver;
        stream.Context.Check(driver.StreamBeginCapture(stream.Handle, CaptureMode.Relaxed), "cuStreamBeginCapture");
        try
        {
            body();
        }
        catch
        {
            // The stream must leave capture mode whatever the body did.
            if (driver.StreamEndCapture(out nint partial, stream.Handle) == CudaResult.Success && partial != 0)
                _ = driver.GraphDestroy(partial);
            throw;
        }
        stream.Context.Check(driver.StreamEndCapture(out nint graph, stream.Handle), "cuStreamEndCapture");
        stream.Context.Check(driver.GraphGetNodeCount(out nuint count, graph), "cuGraphGetNodes");
        nodes = (int)count;
        return graph;
    }
}
