using CudaLora.Kernels.Runtime;

namespace CudaLora.Engine;

/// <summary>
/// Work on a CUDA device that is captured as a graph when its shape comes the second time, and replayed from then on:
/// one call in the place of hundreds of launches. The first time it runs as it is, which loads every kernel and fills
/// the memory pool. Replays give the bits that running it gives.
/// </summary>
/// <param name="device">Where the work runs.</param>
public sealed class GraphCache(CudaDevice device) : IDisposable
{
    // A graph of a large model takes a few MB; batches of more shapes than this start over.
    private const int Most = 64;

    private readonly Dictionary<string, Captured> graphs = new(StringComparer.Ordinal);
    private readonly HashSet<string> seen = new(StringComparer.Ordinal);
    private readonly InputSet randomBase = new(device);
    private int generation = device.PoolGeneration;

    /// <summary>Graphs captured so far.</summary>
    public int Count => graphs.Count;

    /// <summary>Runs work of a shape, or replays it.</summary>
    /// <param name="key">
    /// Equal keys mean the same launches on the same addresses, but for what the work reads from device memory.
    /// </param>
    /// <param name="work">Queues everything and reads nothing back.</param>
    /// <param name="random">The stream the work draws dropout masks from, or null.</param>
    public void Run(string key, Action work, Generator? random)
    {
        Forget();
        if (!graphs.TryGetValue(key, out var captured))
        {
            if (seen.Add(key))
            {
                work();
                return;
            }
            captured = Capture(work, random);
            graphs.Add(key, captured);
        }
        else
        {
            WriteBase(random is null ? 0 : random.Offset - captured.FirstDraw);
            random?.Take(captured.Draws);
        }
        captured.Graph.Launch(device.Stream);
        randomBase.Used();
    }

    /// <summary>Releases the graphs.</summary>
    public void Dispose()
    {
        Clear();
        randomBase.Dispose();
    }

    private Captured Capture(Action work, Generator? random)
    {
        // The capture draws this run's numbers itself: nothing is added to them. Written now, as it needs its address.
        WriteBase(0);
        var first = random?.Offset ?? 0;
        if (random is not null)
            random.DeviceBase = randomBase["base"].DeviceAddress;
        try
        {
            var graph = CudaGraph.Capture(device.Stream, work);
            return new Captured(graph, first, (random?.Offset ?? 0) - first);
        }
        finally
        {
            if (random is not null)
                random.DeviceBase = 0;
        }
    }

    private void WriteBase(ulong value)
    {
        randomBase.Begin();
        randomBase.Set("base", [(int)(uint)value, (int)(uint)(value >> 32)], Shape.Of(2));
        randomBase.Commit();
    }

    // Memory given back to the driver may be in a graph.
    private void Forget()
    {
        if (generation == device.PoolGeneration && graphs.Count < Most)
            return;
        Clear();
        generation = device.PoolGeneration;
    }

    private void Clear()
    {
        device.Synchronize();
        foreach (var captured in graphs.Values)
            captured.Graph.Dispose();
        graphs.Clear();
        seen.Clear();
    }

    private sealed record Captured(CudaGraph Graph, ulong FirstDraw, ulong Draws);
}
