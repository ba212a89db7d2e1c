using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Runtime;

/// <summary>Times of one launch shape.</summary>
/// <param name="Kernel">Entry name.</param>
/// <param name="Cold">Median milliseconds with the L2 cache overwritten before every launch.</param>
/// <param name="Warm">Milliseconds of one launch out of a graph of many, one right after the other.</param>
/// <param name="Spread">Upper minus lower quartile of the cold times, over the median.</param>
public sealed record LaunchTime(string Kernel, double Cold, double Warm, double Spread);

/// <summary>
/// Repeats and times every launch of a context it is set on (<see cref="CudaContext.Timer"/>), with events on the
/// device. What a kernel that adds to its output leaves behind is then of no use: time, then compare, never both at
/// once.
/// </summary>
public sealed class LaunchTimer : IDisposable
{
    private readonly CudaContext context;
    private readonly int repeats;
    private readonly DeviceBuffer<byte> flush;
    private readonly CudaEvent start;
    private readonly CudaEvent end;
    private readonly Dictionary<string, LaunchTime> times = new(StringComparer.Ordinal);

    /// <summary>A timer that launches each kernel <paramref name="repeats"/> times cold and as often warm.</summary>
    public LaunchTimer(CudaContext context, int repeats = 50)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentOutOfRangeException.ThrowIfLessThan(repeats, 1);
        (this.context, this.repeats) = (context, repeats);
        // Twice the cache: nothing of the operands is left in it.
        flush = context.Memory.Allocate<byte>(2L * Math.Max(1 << 20, context.Properties.L2Bytes));
        (start, end) = (new CudaEvent(context), new CudaEvent(context));
    }

    /// <summary>The last times of every kernel launched so far, by entry name.</summary>
    public IReadOnlyDictionary<string, LaunchTime> Times => times;

    /// <summary>Times <paramref name="work"/>, which queues work in the context's stream, under a name.</summary>
    public LaunchTime Measure(string name, Action work)
    {
        ArgumentNullException.ThrowIfNull(work);
        CudaStream stream = context.Stream;
        work();
        stream.Synchronize();
        var cold = new double[repeats];
        for (int i = 0; i < repeats; i++)
        {
            flush.Zero();
            start.Record(stream);
            work();
            end.Record(stream);
            end.Synchronize();
            cold[i] = end.MillisecondsSince(start);
        }
        Array.Sort(cold);
        double median = cold[repeats / 2];
        double spread = median == 0 ? 0 : (cold[repeats * 3 / 4] - cold[repeats / 4]) / median;
        var time = new LaunchTime(name, median, Warm(work), spread);
        times[name] = time;
        return time;
    }

    private double Warm(Action work)
    {
        CudaStream stream = context.Stream;
        using CudaGraph graph = CudaGraph.Capture(stream, () =>
        {
            for (int i = 0; i < repeats; i++) work();
        });
        graph.Launch(stream);
        stream.Synchronize();
        start.Record(stream);
        graph.Launch(stream);
        end.Record(stream);
        end.Synchronize();
        return end.MillisecondsSince(start) / (double)repeats;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        flush.Dispose();
        start.Dispose();
        end.Dispose();
    }
}
