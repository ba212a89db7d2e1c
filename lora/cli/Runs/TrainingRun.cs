using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Scores before, trains, scores after, writes the reports: what <c>train</c> and <c>pretrain</c>
/// share.</summary>
internal sealed class TrainingRun(
    LoadedModel loaded, IFineTuning method, SftEncoder encoder, RecordSet train, RecordSet held,
    TrainingArguments arguments, Generator random)
{
    private readonly Sft objective = new();
    private readonly LossHistory history = new();

    /// <summary>Held-out records that are answered in full.</summary>
    public int ExactMatchSamples { get; init; }

    /// <summary>What is needed to run it again.</summary>
    public required RunFacts Facts { get; init; }

    /// <summary>Runs it all and returns the exit code.</summary>
    public int Run(Terminal terminal, bool plain)
    {
        var view = ProgressView.For(terminal, plain, arguments.LoggingSteps);
        using var interrupt = new Interrupt(view.OnMessage);
        loaded.Model.Device.ResetPeakMemory();
        var before = Score(terminal, "before training", null, interrupt.Token);
        TrainingResult? result = null;
        using (var log = new TrainingLog(arguments.OutputDir, arguments.LoggingSteps, history))
        {
            var observers = new ObserverGroup(log, history, view);
            var trainer = new Trainer(
                arguments, method, objective, TrainBatches(loaded, train, arguments), HeldBatches(), random, observers);
            view.Show(() => result = trainer.Run(interrupt.Token));
        }
        if (before.Loss is double first) history.Eval.Insert(0, new LossPoint(0, first));
        LossChart.Write(arguments.OutputDir, Facts.Title, history);
        if (result!.End == TrainingEnd.Interrupted)
        {
            terminal.Line($"interrupted after step {result.Steps}; saved {result.Checkpoint}");
            terminal.Line($"go on with:\n  {Facts.ResumeCommand}");
            return ExitCode.Interrupted;
        }
        if (method.SavesModel) loaded.Tokenizer.Save(arguments.OutputDir);
        var after = Score(terminal, "after training", KnownLoss(result), interrupt.Token);
        var summary =
            new RunSummary(Facts, method, result, before, after, arguments, train.Examples.Count, held.Examples.Count);
        summary.Write(arguments.OutputDir);
        RunReport.Print(terminal, loaded, method, arguments.OutputDir, result, before, after);
        return ExitCode.Success;
    }

    // The trainer has scored the final weights already if its last scoring was at the last step, or if the best came
    // back.
    private double? KnownLoss(TrainingResult result) => arguments.LoadBestModelAtEnd
        ? result.State.BestMetric
        : history.Eval is [.., { } last] && last.Step == result.Steps ? last.Loss : null;

    private HeldOutScore Score(Terminal terminal, string when, double? knownLoss, CancellationToken stop)
    {
        if (held.Examples.Count == 0) return HeldOutScore.None;
        var loss = knownLoss;
        if (loss is null)
        {
            terminal.Line($"scoring {Figures.Count(held.Examples.Count)} held-out examples {when} ...");
            loss = new Evaluator(objective, HeldBatches()!)
                .Run(loaded.Model, (_, _) => stop.ThrowIfCancellationRequested()).Loss;
        }
        if (ExactMatchSamples == 0 || !held.HasReferences) return new HeldOutScore(loss, []);
        terminal.Line(
            $"answering {Figures.Count(Math.Min(ExactMatchSamples, held.Records.Count))} held-out prompts {when} ...");
        return new HeldOutScore(loss, AnswerCheck.Run(loaded, encoder, held.Records, ExactMatchSamples, stop: stop));
    }

    public static Batcher TrainBatches(LoadedModel loaded, RecordSet train, TrainingArguments arguments) =>
        new(train.Examples, arguments.TrainBatches(loaded.Tokenizer.PadId));

    private Batcher? HeldBatches() => held.Examples.Count == 0 ? null
        : HeldBatches(loaded, held, arguments.PerDeviceEvalBatchSize);

    public static Batcher HeldBatches(LoadedModel loaded, RecordSet held, int batchSize) =>
        new(held.Examples, new BatcherOptions
        {
            BatchSize = batchSize,
            Shuffle = false,
            PadId = loaded.Tokenizer.PadId ?? 0,
        });
}
