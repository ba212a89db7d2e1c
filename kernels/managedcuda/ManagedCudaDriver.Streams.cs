using System.Text;
using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Driver;
using ManagedCuda.BasicTypes;
using static ManagedCuda.DriverAPINativeMethods;
using CudaContext = CudaLora.Kernels.Runtime.CudaContext;

namespace CudaLora.Kernels.ManagedCuda;

/// <summary>Streams, events, launches and graphs.</summary>
public sealed unsafe partial class ManagedCudaDriver
{
    /// <inheritdoc/>
    public CudaResult StreamCreate(out nint stream, uint flags)
    {
        CUstream streamOut = default;
        var result = (CudaResult)Streams.cuStreamCreate(ref streamOut, (CUStreamFlags)flags);
        stream = streamOut.Pointer;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult StreamDestroy(nint stream) => (CudaResult)Streams.cuStreamDestroy_v2(Stream(stream));

    /// <inheritdoc/>
    public CudaResult StreamSynchronize(nint stream) => (CudaResult)Streams.cuStreamSynchronize(Stream(stream));

    /// <inheritdoc/>
    public CudaResult StreamQuery(nint stream) => (CudaResult)Streams.cuStreamQuery(Stream(stream));

    /// <inheritdoc/>
    public CudaResult StreamWaitEvent(nint stream, nint waitFor, uint flags) =>
        (CudaResult)Streams.cuStreamWaitEvent(Stream(stream), Event(waitFor), flags);

    /// <inheritdoc/>
    public CudaResult EventCreate(out nint created, uint flags)
    {
        CUevent createdOut = default;
        var result = (CudaResult)Events.cuEventCreate(ref createdOut, (CUEventFlags)flags);
        created = createdOut.Pointer;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult EventDestroy(nint handle) => (CudaResult)Events.cuEventDestroy_v2(Event(handle));

    /// <inheritdoc/>
    public CudaResult EventRecord(nint handle, nint stream) =>
        (CudaResult)Events.cuEventRecord(Event(handle), Stream(stream));

    /// <inheritdoc/>
    public CudaResult EventSynchronize(nint handle) => (CudaResult)Events.cuEventSynchronize(Event(handle));

    /// <inheritdoc/>
    public CudaResult EventQuery(nint handle) => (CudaResult)Events.cuEventQuery(Event(handle));

    /// <inheritdoc/>
    public CudaResult EventElapsedTime(out float milliseconds, nint start, nint end)
    {
        float millisecondsOut = 0;
        var result = (CudaResult)Events.cuEventElapsedTime(ref millisecondsOut, Event(start), Event(end));
        milliseconds = millisecondsOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult LaunchKernel(nint function, in LaunchShape shape, nint stream, void* packed, nuint packedBytes)
    {
        if (shape.HasCluster || shape.Programmatic) return CudaResult.NotSupported;
        (Dim3 grid, Dim3 block) = (shape.Grid, shape.Block);
        // Pointer, size, end: CU_LAUNCH_PARAM_BUFFER_POINTER, _BUFFER_SIZE, _END.
        nint[] extra = [1, (nint)packed, 2, (nint)(&packedBytes), 0];
        return (CudaResult)Launch.cuLaunchKernel(
            Function(function), grid.X, grid.Y, grid.Z, block.X, block.Y, block.Z, shape.SharedBytes,
            Stream(stream), null!, extra);
    }

    /// <inheritdoc/>
    public CudaResult StreamBeginCapture(nint stream, CaptureMode mode) =>
        (CudaResult)Streams.cuStreamBeginCapture(Stream(stream), (CUstreamCaptureMode)mode);

    /// <inheritdoc/>
    public CudaResult StreamEndCapture(out nint graph, nint stream)
    {
        CUgraph graphOut = default;
        var result = (CudaResult)Streams.cuStreamEndCapture(Stream(stream), ref graphOut);
        graph = graphOut.Pointer;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult GraphInstantiate(out nint executable, nint graph)
    {
        CUgraphExec executableOut = default;
        var result = (CudaResult)GraphManagment.cuGraphInstantiate(ref executableOut, Graph(graph), 0);
        executable = executableOut.Pointer;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult GraphExecUpdate(out GraphUpdateResult outcome, nint executable, nint graph)
    {
        CUgraphExecUpdateResultInfo outcomeOut = default;
        var result = (CudaResult)GraphManagment.cuGraphExecUpdate(Executable(executable), Graph(graph), ref outcomeOut);
        outcome = (GraphUpdateResult)outcomeOut.result;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult GraphLaunch(nint executable, nint stream) =>
        (CudaResult)GraphManagment.cuGraphLaunch(Executable(executable), Stream(stream));

    /// <inheritdoc/>
    public CudaResult GraphGetNodeCount(out nuint count, nint graph)
    {
        SizeT countOut = default;
        var result = (CudaResult)GraphManagment.cuGraphGetNodes(Graph(graph), null!, ref countOut);
        count = (nuint)(ulong)countOut;
        return result;
    }

    /// <inheritdoc/>
    public CudaResult GraphDestroy(nint graph) => (CudaResult)GraphManagment.cuGraphDestroy(Graph(graph));

    /// <inheritdoc/>
    public CudaResult GraphExecDestroy(nint executable) =>
        (CudaResult)GraphManagment.cuGraphExecDestroy(Executable(executable));
}
