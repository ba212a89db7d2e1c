using System.Diagnostics;
using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Fine-tunes a model: steps, schedule, evaluation, checkpoints, early stop, resume. What is minimised is the
/// objective's business, what trains is the method's. The same seed and data give the same bits, resumed or not.
/// </summary>
public sealed class Trainer
{
    private readonly TrainingArguments arguments;
    private readonly IFineTuning method;
    private readonly IObjective objective;
    private readonly Batcher data;
    private readonly Evaluator? evaluator;
    private readonly Generator random;
    private readonly ITrainerObserver observer;
    private readonly Stopwatch stepping = new();
    private TrainerState state = new();
    private string? newest;

    /// <summary>Prepares a run.</summary>
    /// <param name="arguments">Options.</param>
    /// <param name="method">What trains and how it is saved.</param>
    /// <param name="objective">What is minimised.</param>
    /// <param name="data">Training batches.</param>
    /// <param name="evaluation">Held-out batches in a fixed order, or null.</param>
    /// <param name="random">The stream the method's dropout draws from, <see cref="CausalLM.Random"/> if null; its
    /// position is part of a checkpoint.</param>
    /// <param name="observer">Who is told, or null.</param>
    public Trainer(
        TrainingArguments arguments, IFineTuning method, IObjective objective, Batcher data, Batcher? evaluation = null,
        Generator? random = null, ITrainerObserver? observer = null)
    {
        this.arguments = arguments;
        this.method = method;
        this.objective = objective;
        this.data = data;
        this.random = random ?? method.Model.Random ?? new Generator((ulong)arguments.Seed);
        this.observer = observer ?? new Silent();
        evaluator = evaluation is null ? null : new Evaluator(objective, evaluation);
        EvalExamples = evaluation?.RowsPerEpoch ?? 0;
        Check();
    }

    private int EvalExamples { get; }

    private int Accumulation => Math.Max(1, arguments.GradientAccumulationSteps);

    private int TotalSteps => CountSteps(arguments, data);

    /// <summary>Optimiser steps of a whole run.</summary>
    public static int CountSteps(TrainingArguments arguments, Batcher data)
    {
        if (arguments.MaxSteps > 0)
            return arguments.MaxSteps;
        var accumulation = Math.Max(1, arguments.GradientAccumulationSteps);
        var perEpoch = (data.BatchesPerEpoch + accumulation - 1) / accumulation;
        return Math.Max(1, (int)Math.Ceiling(arguments.NumTrainEpochs * perEpoch));
    }

    /// <summary>
    /// Trains to the end, or until <paramref name="stop"/> is set: then the step in progress is finished, a checkpoint
    /// is written and the result says so. Set before the first step, none is taken.
    /// </summary>
    public TrainingResult Run(CancellationToken stop = default)
    {
        Directory.CreateDirectory(arguments.OutputDir);
        using var runner = new StepRunner(arguments, method, objective) { TotalSteps = TotalSteps };
        var schedule = Schedule.Create(arguments.LrSchedulerType, arguments.WarmupSteps, TotalSteps);
        state = new TrainerState { MaxSteps = TotalSteps, Seed = arguments.Seed };
        Resume(runner);
        observer.OnStart(Plan());
        var meter = new RunMeter(state.GlobalStep, TotalSteps);
        TrainingEnd end;
        var clock = Stopwatch.StartNew();
        using (TrainingMode.On(method.Model))
            end = Steps(runner, schedule, meter, stop);
        if (end != TrainingEnd.Interrupted && arguments.LoadBestModelAtEnd && state.BestModelCheckpoint is { } best)
            TrainingCheckpoint.ReadMethod(best, method);
        method.Save(arguments.OutputDir);
        AddLastRow(meter, clock.Elapsed);
        state.Write(arguments.OutputDir, arguments);
        return new TrainingResult(
            end, state.GlobalStep, meter.MeanLoss, clock.Elapsed,
            meter.Tokens / Math.Max(1e-9, stepping.Elapsed.TotalSeconds),
            newest, state);
    }

    private TrainingEnd Steps(StepRunner runner, Schedule schedule, RunMeter meter, CancellationToken stop)
    {
        if (stop.IsCancellationRequested && state.GlobalStep < TotalSteps)
        {
            SaveCheckpoint(runner, false);
            return TrainingEnd.Interrupted;
        }
        while (state.GlobalStep < TotalSteps)
        {
            Step(runner, schedule, meter);
            var stopping = stop.IsCancellationRequested;
            var improved = EvaluateIfDue();
            if (stopping || IsDue(arguments.SaveStrategy, arguments.SaveSteps)
                || (improved && arguments.LoadBestModelAtEnd))
                SaveCheckpoint(runner, improved);
            if (stopping || HasStalled())
                return stopping ? TrainingEnd.Interrupted : TrainingEnd.EarlyStop;
        }
        return TrainingEnd.Completed;
    }

    private void Step(StepRunner runner, Schedule schedule, RunMeter meter)
    {
        stepping.Start();
        var factor = schedule.At(state.GlobalStep);
        var left = data.BatchesPerEpoch - data.State.Position;
        var outcome = runner.Run(data, Math.Min(Accumulation, left), factor);
        stepping.Stop();
        state.GlobalStep++;
        state.EpochsDone = data.State.Epoch;
        state.BatchInEpoch = data.State.Position;
        state.Epoch = data.State.Epoch + ((double)data.State.Position / data.BatchesPerEpoch);
        state.RandomOffset = random.Offset;
        state.NumInputTokensSeen += outcome.Tokens;
        state.TotalFlos += outcome.Tokens * FlosPerToken();
        meter.Add(outcome, stepping.Elapsed.TotalSeconds);
        var rate = runner.Optimizer.Groups[0].LearningRate * factor;
        var isLogged = state.GlobalStep % Math.Max(1, arguments.LoggingSteps) == 0 || state.GlobalStep == TotalSteps;
        var metrics = isLogged ? (objective as IMeasuredObjective)?.TakeMetrics(training: true) : null;
        var report = new StepReport(
            state.GlobalStep, state.Epoch, outcome.Loss, rate, outcome.GradNorm, meter.TokensPerSecond,
            meter.Remaining, meter.Tokens, metrics);
        observer.OnStep(report);
        if (isLogged)
            state.LogHistory.Add(WithMetrics("", metrics, new JsonObject
            {
                ["epoch"] = Math.Round(state.Epoch, 4),
                ["grad_norm"] = outcome.GradNorm,
                ["learning_rate"] = rate,
                ["loss"] = meter.TakeWindowLoss(),
                ["step"] = state.GlobalStep,
            }));
    }

    private static JsonObject WithMetrics(
        string prefix, IReadOnlyDictionary<string, double>? metrics, JsonObject row)
    {
        foreach (var (name, value) in metrics ?? new Dictionary<string, double>())
            row[prefix + name] = double.IsFinite(value) ? value : null;
        return row;
    }

    // A frozen weight costs a forward and a dX product, 4 flops per token; a trained one a dW product as well.
    private double FlosPerToken()
    {
        double flos = 4.0 * method.Model.QuantizedCount;
        foreach (var parameter in method.Model.Parameters())
            flos += parameter.Value.Count * (parameter.Trainable ? 6.0 : 4.0);
        return flos + (6.0 * method.AddedParameters);
    }

    private bool EvaluateIfDue()
    {
        if (evaluator is null || !IsDue(arguments.EvalStrategy, arguments.EvalSteps))
            return false;
        var (loss, seconds, examples) = evaluator.Run(method.Model, observer.OnEvalProgress);
        var improved = state.BestMetric is null || loss < state.BestMetric;
        state.EvaluationsWithoutGain = improved ? 0 : state.EvaluationsWithoutGain + 1;
        if (improved)
        {
            state.BestMetric = loss;
            state.BestGlobalStep = state.GlobalStep;
        }
        state.LogHistory.Add(WithMetrics("eval_", evaluator.Metrics, new JsonObject
        {
            ["epoch"] = Math.Round(state.Epoch, 4),
            ["eval_loss"] = loss,
            ["eval_runtime"] = Math.Round(seconds, 4),
            ["eval_samples_per_second"] = Math.Round(examples / Math.Max(1e-9, seconds), 3),
            ["step"] = state.GlobalStep,
        }));
        observer.OnEvaluate(
            new EvalReport(state.GlobalStep, loss, seconds, examples, improved, evaluator.Metrics));
        return improved;
    }

    private bool IsDue(IntervalStrategy strategy, int steps) => strategy switch
    {
        IntervalStrategy.Steps => state.GlobalStep % Math.Max(1, steps) == 0 || state.GlobalStep == TotalSteps,
        IntervalStrategy.Epoch => state.BatchInEpoch == 0 || state.GlobalStep == TotalSteps,
        _ => false,
    };

    private bool HasStalled() =>
        arguments.EarlyStoppingPatience > 0 && state.EvaluationsWithoutGain >= arguments.EarlyStoppingPatience;

    private void SaveCheckpoint(StepRunner runner, bool best)
    {
        if (best)
            state.BestModelCheckpoint = CheckpointFolders.PathOf(arguments.OutputDir, state.GlobalStep);
        newest = TrainingCheckpoint.Write(arguments, method, runner.Optimizer, state);
        CheckpointFolders.Rotate(arguments.OutputDir, arguments.SaveTotalLimit, state.BestModelCheckpoint);
        observer.OnSave(newest);
    }

    private void Resume(StepRunner runner)
    {
        if (CheckpointFolders.Resolve(arguments.OutputDir, arguments.ResumeFromCheckpoint) is not { } folder)
            return;
        var total = state.MaxSteps;
        state = TrainingCheckpoint.Read(folder, method, runner.Optimizer);
        if (state.Seed != arguments.Seed)
            throw new UserErrorException(
                $"{folder}: was trained with --seed {state.Seed}, but --seed is {arguments.Seed}: the run would not continue the same");
        state.MaxSteps = total;
        data.State = new BatcherState(state.EpochsDone, state.BatchInEpoch);
        random.Rewind(state.RandomOffset);
        newest = folder;
        observer.OnMessage($"resumed from {folder} at step {state.GlobalStep}");
    }

    private TrainingPlan Plan()
    {
        long trainable = 0, total = method.AddedParameters + method.Model.ParameterCount;
        foreach (var group in method.Groups(arguments))
            trainable += group.Parameters.Sum(p => p.Value.Count);
        return new TrainingPlan(
            method.Method, TotalSteps, state.GlobalStep, data.RowsPerEpoch, EvalExamples, trainable, total,
            method.Model.Device.Name);
    }

    private void AddLastRow(RunMeter meter, TimeSpan runtime)
    {
        var seconds = Math.Max(1e-9, runtime.TotalSeconds);
        state.LogHistory.Add(new JsonObject
        {
            ["epoch"] = Math.Round(state.Epoch, 4),
            ["step"] = state.GlobalStep,
            ["total_flos"] = state.TotalFlos,
            ["train_loss"] = meter.MeanLoss,
            ["train_runtime"] = Math.Round(seconds, 4),
            ["train_steps_per_second"] = Math.Round(meter.Steps / seconds, 3),
        });
    }

    private void Check()
    {
        if (arguments.EvalStrategy != IntervalStrategy.No && evaluator is null)
            throw new UserErrorException(
                "--eval-strategy needs held-out data: give --eval-data or --val-size, or the trainer evaluation batches");
        if (arguments.LoadBestModelAtEnd && arguments.EvalStrategy == IntervalStrategy.No)
            throw new UserErrorException("--load-best-model-at-end needs --eval-strategy steps or epoch");
        if (arguments.EarlyStoppingPatience > 0 && arguments.EvalStrategy == IntervalStrategy.No)
            throw new UserErrorException("--early-stopping-patience needs --eval-strategy steps or epoch");
    }

    private sealed class Silent : ITrainerObserver;
}
