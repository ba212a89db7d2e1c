using System.Globalization;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>One line per event, for logs and pipes.</summary>
internal sealed class PlainProgress(Terminal terminal, int loggingSteps) : ProgressView
{
    private readonly StepMeans means = new(loggingSteps);
    private int totalSteps;

    public override void Show(Action training) => training();

    public override void OnStart(TrainingPlan plan)
    {
        totalSteps = plan.TotalSteps;
        terminal.Line(Describe(plan));
    }

    public override void OnStep(in StepReport report)
    {
        if (!means.Add(report, totalSteps, out var loss)) return;
        terminal.Line($"step {At(report.Step)}  epoch {report.Epoch.ToString("0.00", CultureInfo.InvariantCulture)}  "
            + $"loss {Figures.Loss(loss)}  lr {Figures.Rate(report.LearningRate)}  "
            + $"grad {Figures.Short(report.GradNorm)}  {Figures.Count(report.TokensPerSecond)} tokens/s  "
            + $"left {Figures.Time(report.Remaining)}{Figures.Metrics(report.Metrics)}");
    }

    public override void OnEvaluate(in EvalReport report) =>
        terminal.Line(
        $"eval {At(report.Step)}  loss {Figures.Loss(report.Loss)}  "
            + (report.Metrics is null ? $"perplexity {Figures.Short(report.Perplexity)}  " : "")
            + $"{Figures.Count(report.Examples)} examples in {Figures.Short(report.Seconds)} s"
            + Figures.Metrics(report.Metrics) + (report.IsBest ? "  best so far" : ""));

    public override void OnSave(string folder) => terminal.Line($"saved {folder}");

    public override void OnMessage(string message) => terminal.Line($"note: {message}");

    private string At(int step)
    {
        var total = totalSteps.ToString(CultureInfo.InvariantCulture);
        return $"{step.ToString(CultureInfo.InvariantCulture).PadLeft(total.Length)}/{total}";
    }
}
