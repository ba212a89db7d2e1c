using System.Diagnostics;

namespace CudaLora.Cli;

/// <summary>How long to measure a case in each round, and how often to go through the catalogue.</summary>
internal sealed record BenchBudget(double Seconds, int Rounds)
{
    public static readonly BenchBudget Quick = new(0.2, 2);
    public static readonly BenchBudget Usual = new(0.6, 3);
}

/// <summary>Times of calls.</summary>
internal static class BenchClock
{
    private const int MostSamples = 40;
    private const int LeastSamples = 3;

    /// <summary>Seconds of one call, each the mean of as many calls as a clock can tell apart.</summary>
    public static double[] Sample(BenchWork work, double seconds)
    {
        // The first calls compile, and fill the pool.
        var until = Stopwatch.GetTimestamp() + (long)(seconds / 4 * Stopwatch.Frequency);
        do work.Call();
        while (Stopwatch.GetTimestamp() < until);
        var calls = (int)Math.Max(1, Math.Ceiling(seconds / MostSamples / Time(work, 1)));
        var samples = new List<double>(MostSamples);
        until = Stopwatch.GetTimestamp() + (long)(seconds * Stopwatch.Frequency);
        while (samples.Count < LeastSamples || (Stopwatch.GetTimestamp() < until && samples.Count < MostSamples))
            samples.Add(Time(work, calls));
        return [.. samples];
    }

    /// <summary>
    /// The median of all samples, and its noise: the larger of half the distance of the quartiles and half that of the
    /// rounds' medians, over the median. The first is the jitter of calls, the second the drift of the machine.
    /// </summary>
    public static (double Median, double Noise) Summary(IReadOnlyList<double[]> rounds)
    {
        var all = rounds.SelectMany(round => round).Order().ToArray();
        var medians = rounds.Select(round => Quantile([.. round.Order()], 0.5)).ToArray();
        var median = Quantile(all, 0.5);
        var jitter = Quantile(all, 0.75) - Quantile(all, 0.25);
        return (median, Math.Max(jitter, medians.Max() - medians.Min()) / 2 / median);
    }

    private static double Quantile(double[] sorted, double at)
    {
        var place = at * (sorted.Length - 1);
        var (low, high) = ((int)Math.Floor(place), (int)Math.Ceiling(place));
        return sorted[low] + ((place - low) * (sorted[high] - sorted[low]));
    }

    private static double Time(BenchWork work, int calls)
    {
        var start = Stopwatch.GetTimestamp();
        for (var i = 0; i < calls; i++) work.Call();
        return Math.Max(1e-9, Stopwatch.GetElapsedTime(start).TotalSeconds / calls);
    }
}
