namespace CudaLora.Kernels.Driver;

// Streams, events, graphs. One field per symbol, one method per call.
public sealed unsafe partial class LibCuda
{
    private readonly delegate* unmanaged<nint*, uint, CudaResult> streamCreate;
    private readonly delegate* unmanaged<nint, CudaResult> streamDestroy;
    private readonly delegate* unmanaged<nint, CudaResult> streamSynchronize;
    private readonly delegate* unmanaged<nint, CudaResult> streamQuery;
    private readonly delegate* unmanaged<nint, nint, uint, CudaResult> streamWaitEvent;
    private readonly delegate* unmanaged<nint*, uint, CudaResult> eventCreate;
    private readonly delegate* unmanaged<nint, CudaResult> eventDestroy;
    private readonly delegate* unmanaged<nint, nint, CudaResult> eventRecord;
    private readonly delegate* unmanaged<nint, CudaResult> eventSynchronize;
    private readonly delegate* unmanaged<nint, CudaResult> eventQuery;
    private readonly delegate* unmanaged<float*, nint, nint, CudaResult> eventElapsedTime;
    private readonly delegate* unmanaged<nint, CaptureMode, CudaResult> streamBeginCapture;
    private readonly delegate* unmanaged<nint, nint*, CudaResult> streamEndCapture;
    private readonly delegate* unmanaged<nint*, nint, ulong, CudaResult> graphInstantiate;
    private readonly delegate* unmanaged<nint, nint, CudaResult> graphLaunch;
    private readonly delegate* unmanaged<nint, nint*, nuint*, CudaResult> graphGetNodeCount;
    private readonly delegate* unmanaged<nint, CudaResult> graphDestroy;
    private readonly delegate* unmanaged<nint, CudaResult> graphExecDestroy;

    /// <inheritdoc/>
    public CudaResult StreamCreate(out nint stream, uint flags)
    {
        nint streamOut = default;
        CudaResult result = streamCreate(&streamOut, flags);
        stream = streamOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult StreamDestroy(nint stream) => streamDestroy(stream);

    /// <inheritdoc/>
    public CudaResult StreamSynchronize(nint stream) => streamSynchronize(stream);

    /// <inheritdoc/>
    public CudaResult StreamQuery(nint stream) => streamQuery(stream);

    /// <inheritdoc/>
    public CudaResult StreamWaitEvent(nint stream, nint waitFor, uint flags) =>
        streamWaitEvent(stream, waitFor, flags);

    /// <inheritdoc/>
    public CudaResult EventCreate(out nint created, uint flags)
    {
        nint createdOut = default;
        CudaResult result = eventCreate(&createdOut, flags);
        created = createdOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult EventDestroy(nint handle) => eventDestroy(handle);

    /// <inheritdoc/>
    public CudaResult EventRecord(nint handle, nint stream) => eventRecord(handle, stream);

    /// <inheritdoc/>
    public CudaResult EventSynchronize(nint handle) => eventSynchronize(handle);

    /// <inheritdoc/>
    public CudaResult EventQuery(nint handle) => eventQuery(handle);

    /// <inheritdoc/>
    public CudaResult EventElapsedTime(out float milliseconds, nint start, nint end)
    {
        float millisecondsOut = default;
        CudaResult result = eventElapsedTime(&millisecondsOut, start, end);
        milliseconds = millisecondsOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult StreamBeginCapture(nint stream, CaptureMode mode) => streamBeginCapture(stream, mode);

    /// <inheritdoc/>
    public CudaResult StreamEndCapture(out nint graph, nint stream)
    {
        nint graphOut = default;
        CudaResult result = streamEndCapture(stream, &graphOut);
        graph = graphOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult GraphInstantiate(out nint executable, nint graph)
    {
        nint executableOut = default;
        CudaResult result = graphInstantiate(&executableOut, graph, 0);
        executable = executableOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult GraphLaunch(nint executable, nint stream) => graphLaunch(executable, stream);

    /// <inheritdoc/>
    public CudaResult GraphGetNodeCount(out nuint count, nint graph)
    {
        nuint countOut = default;
        CudaResult result = graphGetNodeCount(graph, null, &countOut);
        count = countOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult GraphDestroy(nint graph) => graphDestroy(graph);

    /// <inheritdoc/>
    public CudaResult GraphExecDestroy(nint executable) => graphExecDestroy(executable);
}
