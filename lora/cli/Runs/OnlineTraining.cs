using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Runs PPO or GRPO with its views and logs and writes the reports.</summary>
internal sealed class OnlineTraining(
    Func<ITrainerObserver, OnlineTrainer> make, TrainingArguments arguments, RunFacts facts)
{
    private static readonly string[] Phases = ["time/rollout", "time/scoring", "time/update"];

    private readonly MetricHistory curve = new();

    /// <summary>Runs it and returns the exit code.</summary>
    public int Run(Terminal terminal, bool plain)
    {
        var view = ProgressView.For(terminal, plain, arguments.LoggingSteps);
        using var interrupt = new Interrupt(view.OnMessage);
        TrainingResult? result = null;
        using (var log = new TrainingLog(arguments.OutputDir, arguments.LoggingSteps, new LossHistory()))
        using (var samples = new SampleLog(arguments.OutputDir))
        {
            var trainer = make(new ObserverGroup(log, samples, curve, view));
            view.Show(() => result = trainer.Run(interrupt.Token));
        }
        var times = Phases.ToDictionary(name => name, name => curve[name].Sum(point => point.Loss));
        var speeds = curve["rollout_tokens_per_second"];
        curve.Read(result!.State);
        CurveChart.Write(
            arguments.OutputDir, "reward", facts.Title, "mean reward", ("reward", curve["objective/scores"]));
        CurveChart.Write(
            arguments.OutputDir, "kl", facts.Title, "nats per response", ("divergence", curve["objective/kl"]),
            ("entropy", curve["objective/entropy"]));
        if (result.End == TrainingEnd.Interrupted)
        {
            terminal.Line($"interrupted after step {result.Steps}; saved {result.Checkpoint}");
            terminal.Line($"go on with:\n  {facts.ResumeCommand}");
            return ExitCode.Interrupted;
        }
        WriteSummary(result, times, speeds.Count == 0 ? 0 : speeds.Average(point => point.Loss));
        Print(terminal, result, times);
        return ExitCode.Success;
    }

    private void WriteSummary(TrainingResult result, Dictionary<string, double> times, double speed)
    {
        var json = new JsonObject
        {
            ["reward_first"] = First("objective/scores"),
            ["reward_last"] = Last("objective/scores"),
            ["kl"] = Last("objective/kl"),
            ["entropy"] = Last("objective/entropy"),
            ["mean_length"] = Last("completions/mean_length"),
            ["steps"] = result.Steps,
            ["runtime_s"] = Math.Round(result.Runtime.TotalSeconds, 3),
            ["rollout_tokens_per_second"] = Math.Round(speed, 1),
            ["rollout_s"] = Math.Round(times["time/rollout"], 3),
            ["scoring_s"] = Math.Round(times["time/scoring"], 3),
            ["update_s"] = Math.Round(times["time/update"], 3),
            ["device"] = facts.Device,
            ["seed"] = facts.Seed,
            ["model"] = facts.Model,
            ["data"] = facts.Data,
            ["command"] = facts.Command,
        };
        AtomicFile.WriteText(
            Path.Combine(arguments.OutputDir, RunSummary.FileName), ReportJson.Text(json) + "\n");
    }

    private void Print(Terminal terminal, TrainingResult result, Dictionary<string, double> times)
    {
        terminal.Line();
        terminal.Line($"{Figures.Count(result.Steps)} steps in {Figures.Time(result.Runtime)}: "
            + $"{Figures.Short(times["time/rollout"])} s sampling, {Figures.Short(times["time/scoring"])} s scoring, "
            + $"{Figures.Short(times["time/update"])} s updating");
        terminal.Line($"{"",-22}{"first step",12}{"last step",12}");
        foreach (var name in (string[])[
            "objective/scores", "objective/kl", "objective/entropy", "completions/mean_length",
            "val/explained_variance"])
        {
            if (curve[name] is { Count: > 0 } points)
                terminal.Line($"{name[(name.IndexOf('/') + 1)..],-22}{Figures.Short(points[0].Loss),12}"
                    + $"{Figures.Short(points[^1].Loss),12}");
        }
        terminal.Line();
        terminal.Line($"written to {arguments.OutputDir}: the adapter, {RunSummary.FileName}, reward.png, kl.png, "
            + $"{SampleLog.FileName}, {TrainingLog.FileName}, {RunConfig.FileName}");
    }

    private JsonValue? First(string name) =>
        ReportJson.Number(curve[name] is { Count: > 0 } points ? points[0].Loss : null);

    private JsonValue? Last(string name) =>
        ReportJson.Number(curve[name] is { Count: > 0 } points ? points[^1].Loss : null);
}
