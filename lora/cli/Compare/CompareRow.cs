using System.Text.Json.Nodes;

namespace CudaLora.Cli;

/// <summary>A method over all its seeds.</summary>
internal sealed record CompareRow(string Method, IReadOnlyList<CompareCell> Cells)
{
    private readonly CompareCell[] done = [.. Cells.Where(cell => cell.Error is null)];

    /// <summary>Why no seed finished, or null.</summary>
    public string? Error => done.Length > 0 ? null : Cells[0].Error;

    public long Trained => done[0].Trained;

    public double Share => (double)done[0].Trained / done[0].Total;

    public long PeakMemory => done.Max(cell => cell.PeakMemory);

    public double SecondsPerStep => done.Average(cell => cell.SecondsPerStep);

    public long FileBytes => done[0].FileBytes;

    public (double Mean, double Spread) Loss => Spread(done.Select(cell => cell.Loss));

    public (double Mean, double Spread)? ExactMatch => done.All(cell => cell.ExactMatch is not null)
        ? Spread(done.Select(cell => cell.ExactMatch!.Value))
        : null;

    /// <summary>Steps until the held-out loss was first at or below the target; null if a seed never was.</summary>
    public double? StepsTo(double target)
    {
        double sum = 0;
        foreach (var cell in done)
        {
            var reached = cell.Losses.Where(row => row.Loss <= target).Select(row => (int?)row.Step).FirstOrDefault();
            if (reached is null) return null;
            sum += reached.Value;
        }
        return sum / done.Length;
    }

    public JsonObject ToJson(double target)
    {
        if (Error is not null) return new JsonObject { ["method"] = Method, ["error"] = Error };
        return new JsonObject
        {
            ["method"] = Method,
            ["trainable_parameters"] = Trained,
            ["trainable_share"] = Share,
            ["peak_memory_bytes"] = PeakMemory,
            ["seconds_per_step"] = Math.Round(SecondsPerStep, 5),
            ["steps_to_target"] = ReportJson.Number(StepsTo(target)),
            ["eval_loss"] = Both(Loss),
            ["exact_match"] = ExactMatch is { } match ? Both(match) : null,
            ["file_bytes"] = FileBytes,
            ["seeds"] = new JsonArray([.. done.Select(cell => JsonValue.Create(cell.Seed))]),
            ["failed_seeds"] = new JsonArray([.. Cells.Except(done).Select(cell => JsonValue.Create(cell.Seed))]),
        };
    }

    private static JsonObject Both((double Mean, double Spread) value) =>
        new() { ["mean"] = ReportJson.Number(value.Mean), ["deviation"] = ReportJson.Number(value.Spread) };

    // Mean and sample deviation.
    private static (double Mean, double Spread) Spread(IEnumerable<double> values)
    {
        var all = values.ToArray();
        var mean = all.Average();
        return (mean, all.Length < 2 ? 0 : Math.Sqrt(all.Sum(v => (v - mean) * (v - mean)) / (all.Length - 1)));
    }
}
