using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>
/// trainer_log.jsonl: one JSON object per row, with the field names LLaMA-Factory's tools read. A resumed run keeps the
/// rows up to the step it goes on from.
/// </summary>
internal sealed class TrainingLog(string folder, int loggingSteps, LossHistory history) : ITrainerObserver, IDisposable
{
    public const string FileName = "trainer_log.jsonl";

    private static readonly Dictionary<string, double> Nothing = [];

    private readonly StepMeans means = new(loggingSteps);
    private readonly Stopwatch clock = new();
    private StreamWriter? writer;
    private int totalSteps;
    private StepReport last;

    public void OnStart(TrainingPlan plan)
    {
        totalSteps = plan.TotalSteps;
        var path = Path.Combine(folder, FileName);
        try
        {
            Directory.CreateDirectory(folder);
            var kept = plan.FirstStep > 0 && File.Exists(path) ? Rows(path, plan.FirstStep) : [];
            writer = new StreamWriter(path, append: false) { AutoFlush = true, NewLine = "\n" };
            foreach (var row in kept) writer.WriteLine(row);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"{path}: cannot be written: {e.Message}", e);
        }
        clock.Start();
    }

    public void OnStep(in StepReport report)
    {
        last = report;
        if (!means.Add(report, totalSteps, out var loss)) return;
        var row = Row(report.Step);
        row["loss"] = ReportJson.Number(loss);
        row["lr"] = report.LearningRate;
        row["grad_norm"] = ReportJson.Number(report.GradNorm);
        row["throughput"] = Math.Round(report.TokensPerSecond, 2);
        row["total_tokens"] = report.TotalTokens;
        foreach (var (name, value) in report.Metrics ?? Nothing) row[name] = ReportJson.Number(value);
        Write(row);
    }

    public void OnEvaluate(in EvalReport report)
    {
        var row = Row(report.Step);
        row["eval_loss"] = ReportJson.Number(report.Loss);
        foreach (var (name, value) in report.Metrics ?? Nothing) row["eval_" + name] = ReportJson.Number(value);
        Write(row);
    }

    public void Dispose() => writer?.Dispose();

    private JsonObject Row(int step) => new()
    {
        ["current_steps"] = step,
        ["total_steps"] = totalSteps,
        ["epoch"] = Math.Round(last.Epoch, 4),
        ["percentage"] = Math.Round(100.0 * step / Math.Max(1, totalSteps), 2),
        ["elapsed_time"] = Figures.Time(clock.Elapsed),
        ["remaining_time"] = Figures.Time(last.Remaining),
    };

    private void Write(JsonObject row)
    {
        try
        {
            writer?.WriteLine(row.ToJsonString());
        }
        catch (IOException e)
        {
            throw new UserErrorException($"{Path.Combine(folder, FileName)}: cannot be written: {e.Message}", e);
        }
    }

    private List<string> Rows(string path, int lastStep)
    {
        var kept = new List<string>();
        foreach (var line in File.ReadLines(path))
        {
            try
            {
                var row = JsonNode.Parse(line)!.AsObject();
                var step = (int)row["current_steps"]!;
                if (step > lastStep) continue;
                kept.Add(line);
                if (row["loss"] is { } loss) history.Train.Add(new LossPoint(step, (double)loss));
                if (row["eval_loss"] is { } eval) history.Eval.Add(new LossPoint(step, (double)eval));
            }
            catch (Exception e) when (
                e is JsonException or InvalidOperationException or NullReferenceException or FormatException)
            {
                // A row cut short by a kill; the steps after it are done again.
            }
        }
        return kept;
    }
}
