using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Scores held-out preferences, trains, scores again, writes the reports: what the preference methods
/// share.</summary>
internal sealed class PreferenceRun(
    LoadedModel loaded, IFineTuning method, IMeasuredObjective objective, PreferenceData train, PreferenceData held,
    TrainingArguments arguments, Generator random)
{
    private readonly LossHistory history = new();

    /// <summary>What is needed to run it again.</summary>
    public required RunFacts Facts { get; init; }

    /// <summary>The reward model that is trained, if it is one.</summary>
    public RewardModel? Reward { get; init; }

    /// <summary>Runs it all and returns the exit code.</summary>
    public int Run(Terminal terminal, bool plain)
    {
        var view = ProgressView.For(terminal, plain, arguments.LoggingSteps);
        using var interrupt = new Interrupt(view.OnMessage);
        var before = Score(interrupt.Token);
        if (before is not null)
            terminal.Line($"held out before training: {Describe(before)}");
        TrainingResult? result = null;
        using (var log = new TrainingLog(arguments.OutputDir, arguments.LoggingSteps, history))
        {
            var trainer = new Trainer(
                arguments, method, objective, Batches(train, arguments.PerDeviceTrainBatchSize, shuffle: true),
                held.Count == 0 ? null : HeldBatches(), random, new ObserverGroup(log, history, view));
            view.Show(() => result = trainer.Run(interrupt.Token));
        }
        if (before is not null)
            history.Eval.Insert(0, new LossPoint(0, before["loss"]));
        LossChart.Write(arguments.OutputDir, Facts.Title, history, "loss");
        if (result!.End == TrainingEnd.Interrupted)
        {
            terminal.Line($"interrupted after step {result.Steps}; saved {result.Checkpoint}");
            terminal.Line($"go on with:\n  {Facts.ResumeCommand}");
            return ExitCode.Interrupted;
        }
        if (method.Method == "full") loaded.Tokenizer.Save(arguments.OutputDir);
        var after = Score(interrupt.Token);
        WriteSummary(result, before, after);
        Print(terminal, result, before, after);
        return ExitCode.Success;
    }

    private Batcher HeldBatches() => Batches(held, arguments.PerDeviceEvalBatchSize, shuffle: false);

    private Batcher Batches(PreferenceData data, int size, bool shuffle) => new(data.Examples, new BatcherOptions
    {
        BatchSize = size,
        GroupSize = PreferenceData.GroupSize,
        Shuffle = shuffle,
        Seed = arguments.Seed,
        GroupByLength = shuffle && arguments.GroupByLength,
        PadId = loaded.Tokenizer.PadId ?? 0,
    });

    // Name and value of everything measured on the held-out set, the loss first.
    private Dictionary<string, double>? Score(CancellationToken stop)
    {
        if (held.Count == 0) return null;
        var evaluator = new Evaluator(objective, HeldBatches());
        var loss = evaluator.Run(loaded.Model, (_, _) => stop.ThrowIfCancellationRequested()).Loss;
        var score = new Dictionary<string, double> { ["loss"] = loss };
        foreach (var (name, value) in evaluator.Metrics ?? new Dictionary<string, double>()) score[name] = value;
        if (Reward is null) return score;
        var report = RewardReport.Of(Reward, held);
        score["accuracy"] = report.Accuracy;
        score["calibration_error"] = report.CalibrationError;
        score["min_reward"] = report.MinReward;
        score["max_reward"] = report.MaxReward;
        return score;
    }

    private void WriteSummary(
        TrainingResult result, Dictionary<string, double>? before, Dictionary<string, double>? after)
    {
        var json = new JsonObject { ["method"] = Facts.Title.Split(' ')[0], ["finetuning"] = method.Method };
        foreach (var (name, value) in before ?? []) json[Key(name) + "_before"] = ReportJson.Number(value);
        foreach (var (name, value) in after ?? []) json[Key(name) + "_after"] = ReportJson.Number(value);
        json["train_loss"] = ReportJson.Number(result.TrainLoss);
        json["train_steps"] = result.Steps;
        json["train_end"] = result.End == TrainingEnd.EarlyStop ? "early_stop" : "completed";
        json["train_pairs"] = train.Count;
        json["eval_pairs"] = held.Count;
        json["train_tokens"] = result.State.NumInputTokensSeen;
        json["train_runtime_s"] = Math.Round(result.Runtime.TotalSeconds, 3);
        json["tokens_per_second"] = Math.Round(result.TokensPerSecond, 1);
        json["device"] = Facts.Device;
        json["seed"] = Facts.Seed;
        json["model"] = Facts.Model;
        json["data"] = Facts.Data;
        json["command"] = Facts.Command;
        AtomicFile.WriteText(
            Path.Combine(arguments.OutputDir, RunSummary.FileName), ReportJson.Text(json) + "\n");
    }

    // rewards/accuracies is eval_accuracies: a name for scripts.
    private static string Key(string name) => "eval_" + name[(name.StartsWith("rewards/", StringComparison.Ordinal)
        ? "rewards/".Length : 0)..].Replace('/', '_');

    private void Print(
        Terminal terminal, TrainingResult result, Dictionary<string, double>? before,
        Dictionary<string, double>? after)
    {
        terminal.Line();
        terminal.Line($"trained {Figures.Count(result.Steps)} steps in {Figures.Time(result.Runtime)}, "
            + $"{Figures.Count(result.TokensPerSecond)} tokens/s, train loss {Figures.Loss(result.TrainLoss)}");
        if (before is not null && after is not null)
        {
            terminal.Line();
            terminal.Line($"{$"{held.Count} held out",-22}{"before",12}{"after",12}");
            foreach (var (name, value) in after)
                terminal.Line($"{name,-22}{Figures.Loss(before[name]),12}{Figures.Loss(value),12}");
        }
        terminal.Line();
        terminal.Line($"written to {arguments.OutputDir}: the "
            + (method.Method == "full" ? "model" : "adapter, in PEFT's layout") + ", summary.json, "
            + $"{LossChart.PngName}, {TrainingLog.FileName}, {RunConfig.FileName}");
    }

    private static string Describe(Dictionary<string, double> score) => string.Join(
        ", ", score.Take(4).Select(pair => $"{pair.Key} {Figures.Loss(pair.Value)}"));
}
