using System.Diagnostics;

namespace CudaLora.Peers;

/// <summary>Medians in milliseconds per call; ratio = peer time / our time, above 1 we are faster.</summary>
internal sealed record Outcome(
    string Group, string Name, double OursMs, double PeerMs, double Ratio, double RatioLow, double RatioHigh,
    double? OursRate, double? PeerRate, string? RateUnit, double Difference, double Tolerance);

/// <summary>What one call does, for a rate per second.</summary>
internal sealed record Work(double Amount, string Unit)
{
    public static Work Flops(double count) => new(count * 1e-9, "GFLOP/s");

    public static Work Bytes(double count) => new(count * 1e-9, "GB/s");

    public static Work Tokens(double count) => new(count, "tokens/s");

    public double Rate(double milliseconds) => Amount / (milliseconds * 1e-3);
}

/// <summary>
/// Times two ways to do the same work, in turn, in one process: what disturbs the machine disturbs both. The ratio is
/// the median of the ratios of neighbouring measurements.
/// </summary>
internal sealed class Contest(int repeats, bool cpuTime)
{
    private const double MinimumMs = 40;

    public List<Outcome> Outcomes { get; } = [];

    /// <param name="difference">Runs both once and gives the largest absolute difference of their results.</param>
    /// <param name="work">What a call does, or null where a rate would say little.</param>
    public void Run(
        string group, string name, Action ours, Action peer, Func<double> difference, double tolerance,
        Work? work = null)
    {
        var distance = difference();
        if (!(distance <= tolerance))
            throw new InvalidOperationException(
                $"{group} {name}: results may differ by {tolerance:g3}, but got {distance:g3}");
        var (oursCalls, peerCalls) = (Calibrate(ours), Calibrate(peer));
        var (oursMs, peerMs, ratios) = (new double[repeats], new double[repeats], new double[repeats]);
        for (var i = 0; i < repeats; i++)
        {
            if (i % 2 == 0)
                oursMs[i] = Time(ours, oursCalls);
            peerMs[i] = Time(peer, peerCalls);
            if (i % 2 != 0)
                oursMs[i] = Time(ours, oursCalls);
            ratios[i] = peerMs[i] / oursMs[i];
        }
        var (oursMedian, peerMedian) = (Quantile(oursMs, 0.5), Quantile(peerMs, 0.5));
        var outcome = new Outcome(
            group, name, oursMedian, peerMedian, Quantile(ratios, 0.5), Quantile(ratios, 0.25), Quantile(ratios, 0.75),
            work?.Rate(oursMedian), work?.Rate(peerMedian), work?.Unit, distance, tolerance);
        Outcomes.Add(outcome);
        Console.WriteLine(
            $"{group,-9} {name,-70} {oursMedian,10:f3} ms {peerMedian,10:f3} ms   " +
            $"{outcome.Ratio:f2}x ({outcome.RatioLow:f2} to {outcome.RatioHigh:f2})");
    }

    private int Calibrate(Action action)
    {
        // The first calls let the JIT reach its last tier.
        var clock = Stopwatch.StartNew();
        var calls = 0;
        for (; calls < 40 || clock.Elapsed.TotalMilliseconds < 200; calls++)
        {
            action();
            if (clock.Elapsed.TotalSeconds > 1.5)
                break;
        }
        return Math.Max(1, (int)Math.Ceiling(MinimumMs / Time(action, Math.Max(1, calls / 10))));
    }

    private double Time(Action action, int calls)
    {
        // Waiting threads of the other side spin for a while before they sleep.
        Thread.Sleep(20);
        action();
        var start = Now();
        for (var i = 0; i < calls; i++)
            action();
        return (Now() - start) / calls;
    }

    // Time of this process alone says more than the wall clock while others compute, but it counts waiting threads that
    // spin: for one thread only.
    private double Now() => cpuTime
        ? Environment.CpuUsage.TotalTime.TotalMilliseconds
        : Stopwatch.GetTimestamp() * 1000.0 / Stopwatch.Frequency;

    private static double Quantile(double[] values, double q)
    {
        var sorted = values.Order().ToArray();
        var position = q * (sorted.Length - 1);
        var below = (int)position;
        var above = Math.Min(below + 1, sorted.Length - 1);
        return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
    }
}
