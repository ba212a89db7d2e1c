using System.Diagnostics;
using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Emulator;

// Streams, events and graphs. A stream that records puts what it is asked into its graph instead of running it.
public sealed unsafe partial class EmulatedDriver
{
    private bool IsCapturing => handles.Values.Any(value => value is EmulatedStream { Graph: not null });

    // A relaxed capture lets calls through that have nothing to do with the stream.
    private bool IsCapturingStrictly =>
        handles.Values.Any(value => value is EmulatedStream { Graph.Mode: not CaptureMode.Relaxed });

    /// <inheritdoc/>
    public CudaResult StreamCreate(out nint stream, uint flags)
    {
        stream = Add(new EmulatedStream());
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult StreamDestroy(nint stream) => Remove(stream);

    /// <inheritdoc/>
    public CudaResult StreamSynchronize(nint stream) => StreamQuery(stream);

    /// <inheritdoc/>
    public CudaResult StreamQuery(nint stream)
    {
        if (stream != 0 && !TryGet<EmulatedStream>(stream, out _)) return CudaResult.InvalidHandle;
        return Recording(stream) is null ? sticky : CudaResult.StreamCaptureUnsupported;
    }

    /// <summary>
    /// As the driver's. Waiting for an event of a recording stream draws this stream into the same graph.
    /// </summary>
    public CudaResult StreamWaitEvent(nint stream, nint waitFor, uint flags)
    {
        if (!TryGet(waitFor, out EmulatedEvent? signal)) return CudaResult.InvalidHandle;
        if (signal.Graph is { Ended: false } graph)
        {
            if (!TryGet(stream, out EmulatedStream? joining)) return CudaResult.InvalidHandle;
            joining.Graph = graph;
        }
        return sticky;
    }

    /// <inheritdoc/>
    public CudaResult EventCreate(out nint created, uint flags)
    {
        created = Add(new EmulatedEvent());
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult EventDestroy(nint handle) => Remove(handle);

    /// <inheritdoc/>
    public CudaResult EventRecord(nint handle, nint stream)
    {
        if (!TryGet(handle, out EmulatedEvent? signal)) return CudaResult.InvalidHandle;
        signal.Graph = Recording(stream);
        return Queue(stream, "event", () =>
        {
            signal.Timestamp = Stopwatch.GetTimestamp();
            return CudaResult.Success;
        });
    }

    /// <inheritdoc/>
    public CudaResult EventSynchronize(nint handle) => EventQuery(handle);

    /// <inheritdoc/>
    public CudaResult EventQuery(nint handle) =>
        TryGet<EmulatedEvent>(handle, out _) ? sticky : CudaResult.InvalidHandle;

    /// <inheritdoc/>
    public CudaResult EventElapsedTime(out float milliseconds, nint start, nint end)
    {
        milliseconds = 0;
        if (!TryGet(start, out EmulatedEvent? first) || !TryGet(end, out EmulatedEvent? last))
            return CudaResult.InvalidHandle;
        if (first.Timestamp == 0 || last.Timestamp == 0) return CudaResult.InvalidHandle;
        milliseconds = (float)Stopwatch.GetElapsedTime(first.Timestamp, last.Timestamp).TotalMilliseconds;
        return sticky;
    }

    /// <inheritdoc/>
    public CudaResult StreamBeginCapture(nint stream, CaptureMode mode)
    {
        if (!TryGet(stream, out EmulatedStream? recording)) return CudaResult.StreamCaptureUnsupported;
        if (recording.Graph is not null) return CudaResult.IllegalState;
        recording.Graph = new EmulatedGraph(mode);
        return sticky;
    }

    /// <inheritdoc/>
    public CudaResult StreamEndCapture(out nint graph, nint stream)
    {
        graph = 0;
        if (!TryGet(stream, out EmulatedStream? recording)) return CudaResult.InvalidHandle;
        if (recording.Graph is not { } recorded) return CudaResult.IllegalState;
        recorded.Ended = true;
        foreach (object value in handles.Values)
        {
            if (value is EmulatedStream other && other.Graph == recorded) other.Graph = null;
        }
        graph = Add(recorded);
        return sticky;
    }

    /// <inheritdoc/>
    public CudaResult GraphInstantiate(out nint executable, nint graph)
    {
        executable = 0;
        if (!TryGet(graph, out EmulatedGraph? source)) return CudaResult.InvalidHandle;
        executable = Add(new EmulatedExecutable(source));
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult GraphExecUpdate(out GraphUpdateResult outcome, nint executable, nint graph)
    {
        outcome = GraphUpdateResult.Error;
        if (!TryGet(executable, out EmulatedExecutable? target) || !TryGet(graph, out EmulatedGraph? source))
            return CudaResult.InvalidHandle;
        if (!target.Graph.Nodes.Select(node => node.Kind).SequenceEqual(source.Nodes.Select(node => node.Kind)))
        {
            outcome = GraphUpdateResult.TopologyChanged;
            return CudaResult.GraphExecUpdateFailure;
        }
        outcome = GraphUpdateResult.Success;
        target.Graph = source;
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult GraphLaunch(nint executable, nint stream)
    {
        if (!TryGet(executable, out EmulatedExecutable? target)) return CudaResult.InvalidHandle;
        return Queue(stream, "graph", () =>
        {
            foreach ((_, Func<CudaResult> work) in target.Graph.Nodes)
            {
                CudaResult result = work();
                if (result != CudaResult.Success) return result;
            }
            return CudaResult.Success;
        });
    }

    /// <inheritdoc/>
    public CudaResult GraphGetNodeCount(out nuint count, nint graph)
    {
        count = TryGet(graph, out EmulatedGraph? source) ? (nuint)source.Nodes.Count : 0;
        return source is null ? CudaResult.InvalidHandle : CudaResult.Success;
    }

    /// <summary>As the driver's; executables made from the graph keep working.</summary>
    public CudaResult GraphDestroy(nint graph) => Remove(graph);

    /// <inheritdoc/>
    public CudaResult GraphExecDestroy(nint executable)
    {
        if (!TryGet(executable, out EmulatedExecutable? target)) return CudaResult.InvalidHandle;
        foreach (ulong address in target.Graph.Owned) _ = Free(address);
        target.Graph.Owned.Clear();
        return Remove(executable);
    }

    // Runs work of a stream now, or records it.
    internal CudaResult Queue(nint stream, string kind, Func<CudaResult> work)
    {
        if (stream != 0 && !TryGet<EmulatedStream>(stream, out _)) return CudaResult.InvalidHandle;
        if (Recording(stream) is { } graph)
        {
            graph.Nodes.Add((kind, () => Guarded(work)));
            return CudaResult.Success;
        }
        return Guarded(work);
    }

    private CudaResult Guarded(Func<CudaResult> work)
    {
        if (sticky != CudaResult.Success) return sticky;
        try
        {
            return work();
        }
        catch (EmulatorException error)
        {
            return Refused(CudaResult.InvalidValue, error.Message);
        }
    }

    private EmulatedGraph? Recording(nint stream) =>
        handles.TryGetValue(stream, out object? found) ? (found as EmulatedStream)?.Graph : null;

    private sealed class EmulatedStream
    {
        public EmulatedGraph? Graph { get; set; }
    }

    private sealed class EmulatedEvent
    {
        public long Timestamp { get; set; }
        public EmulatedGraph? Graph { get; set; }
    }

    private sealed class EmulatedGraph(CaptureMode mode)
    {
        public CaptureMode Mode { get; } = mode;
        public List<(string Kind, Func<CudaResult> Work)> Nodes { get; } = [];
        public HashSet<ulong> Owned { get; } = [];
        public bool Ended { get; set; }
    }

    private sealed class EmulatedExecutable(EmulatedGraph graph)
    {
        public EmulatedGraph Graph { get; set; } = graph;
    }
}
