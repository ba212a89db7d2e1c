using System.Globalization;
using System.Text.Json.Nodes;

namespace CudaLora.Bench.Processes;

/// <summary>Something a person has the program do, from nothing to its end.</summary>
/// <param name="Name">Its key in the report.</param>
/// <param name="Label">For people.</param>
/// <param name="Share">Of the repeats asked for, how many this one gets.</param>
/// <param name="Arguments">Of the program.</param>
internal sealed record ProcessJob(string Name, string Label, double Share, params string[] Arguments)
{
    /// <summary>The jobs of <c>cudalora</c>. They run in an empty folder and use the bundled model and data.</summary>
    public static readonly IReadOnlyList<ProcessJob> All =
    [
        new("help", "`--help`", 1, "--help"),
        new("token", "first token", 1,
            "generate", "--prompt", "The dog", "--temperature", "0", "--max-new-tokens", "1"),
        new("train", "20 training steps", 0.25,
            "train", "--max-steps", "20", "--exact-match-samples", "0", "--output", "out"),
    ];
}

/// <summary>All samples of one job.</summary>
internal sealed class ProcessTimes
{
    private readonly List<ProcessSample> samples = [];

    public int Count => samples.Count;

    public void Add(ProcessSample sample) => samples.Add(sample);

    public JsonObject ToJson() => new()
    {
        ["runs"] = samples.Count,
        ["wall_ms"] = Round(Median(s => s.Wall.TotalMilliseconds)),
        ["wall_least_ms"] = Round(samples.Min(s => s.Wall.TotalMilliseconds)),
        ["wall_most_ms"] = Round(samples.Max(s => s.Wall.TotalMilliseconds)),
        ["cpu_ms"] = Round(Median(s => s.Cpu.TotalMilliseconds)),
        ["peak_bytes"] = (long)Median(s => s.PeakBytes),
    };

    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Median(s => s.Wall.TotalMilliseconds):0.0} ms, {Median(s => s.PeakBytes) / 1e6:0} MB");

    private double Median(Func<ProcessSample, double> figure)
    {
        double[] values = [.. samples.Select(figure).Order()];
        return (values[values.Length / 2] + values[(values.Length - 1) / 2]) / 2;
    }

    private static double Round(double milliseconds) => Math.Round(milliseconds, 2);
}
