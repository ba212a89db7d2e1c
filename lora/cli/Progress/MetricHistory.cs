using System.Text.Json.Nodes;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Every measured value of a run by name, for charts.</summary>
internal sealed class MetricHistory : ITrainerObserver
{
    private readonly Dictionary<string, List<LossPoint>> series = new(StringComparer.Ordinal);

    public void OnStep(in StepReport report)
    {
        foreach (var (name, value) in report.Metrics ?? new Dictionary<string, double>())
            Add(name, report.Step, value);
    }

    /// <summary>The points of a name; empty if it was never measured.</summary>
    public IReadOnlyList<LossPoint> this[string name] => series.GetValueOrDefault(name) ?? [];

    /// <summary>Takes what a run logged, an earlier part of it too; names that it does not log stay.</summary>
    public void Read(TrainerState state)
    {
        foreach (var name in state.LogHistory.SelectMany(row => row).Select(pair => pair.Key)) series.Remove(name);
        foreach (var row in state.LogHistory)
        {
            if (row["step"] is not { } step) continue;
            foreach (var (name, value) in row)
            {
                if (name != "step" && value is JsonValue number && number.TryGetValue(out double v))
                    Add(name, (int)step, v);
            }
        }
    }

    /// <summary>Adds a point.</summary>
    public void Add(string name, int step, double value)
    {
        if (!series.TryGetValue(name, out var points)) series.Add(name, points = []);
        points.Add(new LossPoint(step, value));
    }
}
