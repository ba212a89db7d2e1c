using System.Diagnostics;
using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Learns from responses that the policy samples itself: sample, reward, score, update, over and over. The same seed
/// gives the same bits, resumed or not, since a step's responses depend on the seed, the step and the weights alone.
/// </summary>
public abstract class OnlineTrainer
{
    private readonly TrainingArguments arguments;
    private readonly OnlineOptions options;
    private readonly IMeasuredObjective objective;
    private readonly IReward reward;
    private readonly Generator random;
    private readonly ITrainerObserver observer;
    private readonly RolloutSampler sampler;
    private readonly int promptCount;
    private TrainerState state = new();
    private string? newest;
    private long tokens;

    private protected OnlineTrainer(
        TrainingArguments arguments, OnlineOptions options, PolicyFineTuning method, IMeasuredObjective objective,
        OnlineRun run)
    {
        options.Validate();
        var perUpdate = options.Responses / options.MiniBatches;
        var micro = Math.Min(arguments.PerDeviceTrainBatchSize, perUpdate);
        this.arguments = arguments with
        {
            PerDeviceTrainBatchSize = micro,
            GradientAccumulationSteps = (perUpdate + micro - 1) / micro,
        };
        if (perUpdate % micro != 0)
            throw new UserErrorException(
                $"the batch size must divide the {perUpdate} responses of a mini-batch, but is {micro}");
        if (run.UsesReference && run.Reference is null && method.SavesModel)
            throw new UserErrorException(
                $"training in full changes the base, so the reference must be a frozen copy of it ({Name}: "
                + "OnlineRun.Reference), but there is none");
        if (arguments.MaxSteps < 1)
            throw new UserErrorException($"max_steps must be at least 1, but is {arguments.MaxSteps}");
        (this.options, Method, this.objective, reward) = (options, method, objective, run.Reward);
        random = run.Random ?? new Generator((ulong)arguments.Seed);
        observer = run.Observer ?? new Silent();
        promptCount = run.Prompts.Count;
        sampler = new RolloutSampler(
            method.Model, run.Tokenizer, run.Prompts, run.StopIds, options, arguments.Seed);
        Scorer = new PolicyScorer(
            method.Model, method.Head, options.Temperature, options.RolloutBatchSize, run.UsesReference, run.Reference);
    }

    private protected PolicyFineTuning Method { get; }

    private protected PolicyScorer Scorer { get; }

    /// <summary>Name in messages: ppo, grpo.</summary>
    protected abstract string Name { get; }

    /// <summary>Makes what the objective needs of rewarded and scored responses, and measures them.</summary>
    private protected abstract void Assess(RolloutExample[] examples, Dictionary<string, double> metrics);

    /// <summary>What a checkpoint has to hold beyond weights and moments.</summary>
    private protected virtual JsonObject Remember() => [];

    /// <summary>Takes back what <see cref="Remember"/> gave.</summary>
    private protected virtual void Recall(JsonObject memory)
    {
    }

    /// <summary>
    /// Trains to the end, or until <paramref name="stop"/> is set: then the step in progress is given up, a checkpoint
    /// of the state before it is written and the result says so.
    /// </summary>
    /// <exception cref="UserErrorException">The reward failed, the divergence is above its limit, or something is not
    /// finite. The last checkpoint stays; a reward's failure writes one first.</exception>
    public TrainingResult Run(CancellationToken stop = default)
    {
        Directory.CreateDirectory(arguments.OutputDir);
        // No dropout: the ratio of new to old probabilities is about the update alone.
        using var mode = TrainingMode.Off(Method.Model);
        var total = arguments.MaxSteps;
        using var runner = new StepRunner(arguments, Method, objective);
        var schedule = Schedule.Create(arguments.LrSchedulerType, arguments.WarmupSteps, total);
        state = new TrainerState { MaxSteps = total, Seed = arguments.Seed };
        Resume(runner);
        observer.OnStart(new TrainingPlan(
            $"{Name} ({Method.Method})", total, state.GlobalStep, promptCount, 0, Trainable(),
            Method.AddedParameters + Method.Model.ParameterCount, Method.Model.Device.Name));
        var (end, clock, first, losses) = (TrainingEnd.Completed, Stopwatch.StartNew(), state.GlobalStep, 0.0);
        while (state.GlobalStep < total && end == TrainingEnd.Completed)
        {
            try
            {
                losses += Step(runner, schedule.At(state.GlobalStep), clock, total - state.GlobalStep, stop);
            }
            catch (OperationCanceledException)
            {
                end = TrainingEnd.Interrupted;
            }
            var due = arguments.SaveStrategy == IntervalStrategy.Steps
                && (state.GlobalStep % Math.Max(1, arguments.SaveSteps) == 0 || state.GlobalStep == total);
            if (due || end == TrainingEnd.Interrupted)
                Save(runner);
        }
        Method.Save(arguments.OutputDir);
        state.Write(arguments.OutputDir, arguments);
        return new TrainingResult(
            end, state.GlobalStep, losses / Math.Max(1, state.GlobalStep - first), clock.Elapsed,
            tokens / Math.Max(1e-9, clock.Elapsed.TotalSeconds), newest, state);
    }

    private double Step(StepRunner runner, double factor, Stopwatch clock, int left, CancellationToken stop)
    {
        var number = state.GlobalStep + 1;
        var began = clock.Elapsed;
        var examples = sampler.Sample(state.GlobalStep, stop);
        var sampled = clock.Elapsed;
        var metrics = Judge(runner, examples, number);
        Scorer.Score(examples);
        Guard(examples, number, metrics);
        Assess(examples, metrics);
        var scored = clock.Elapsed;
        var (loss, norm) = Update(runner, examples, factor, number);
        foreach (var (name, value) in objective.TakeMetrics(training: false))
            metrics[name] = value;
        var (response, all) = (examples.Sum(e => e.Count), examples.Sum(e => e.Length));
        metrics["time/rollout"] = (sampled - began).TotalSeconds;
        metrics["time/scoring"] = (scored - sampled).TotalSeconds;
        metrics["time/update"] = (clock.Elapsed - scored).TotalSeconds;
        metrics["rollout_tokens_per_second"] = response / Math.Max(1e-9, (sampled - began).TotalSeconds);
        tokens += all;
        state.GlobalStep = number;
        state.Epoch = sampler.Epoch(number);
        state.RandomOffset = random.Offset;
        state.NumInputTokensSeen += all;
        state.Method = Remember();
        state.Method["optimizer_steps"] = runner.Optimizer.StepCount;
        Report(runner, examples, metrics, (loss, norm, factor), (clock.Elapsed - began) * (left - 1));
        return loss;
    }

    // Rewards, and what is known of the responses without the policy.
    private Dictionary<string, double> Judge(StepRunner runner, RolloutExample[] examples, int step)
    {
        float[] rewards;
        var samples = Array.ConvertAll(examples, e => e.Sample);
        try
        {
            rewards = RewardCall.Score(reward, samples, step);
        }
        catch (UserErrorException e)
        {
            // The weights are those of the step before, so nothing is lost.
            Save(runner);
            throw new UserErrorException(
                $"{Name}: {e.Message}; the state after step {state.GlobalStep} is in {newest}", e);
        }
        observer.OnSamples(step, samples, rewards);
        for (var i = 0; i < examples.Length; i++)
            examples[i].Reward = options.Counted(samples[i], rewards[i]);
        var scores = rewards.Select(r => (double)r).ToArray();
        var lengths = examples.Select(e => (double)e.Count).ToArray();
        return new Dictionary<string, double>
        {
            ["objective/scores"] = scores.Average(),
            ["objective/kl"] = 0,
            ["objective/entropy"] = 0,
            ["scores/std"] = Math.Sqrt(PpoMath.Variance(scores)),
            ["completions/mean_length"] = lengths.Average(),
            ["completions/min_length"] = lengths.Min(),
            ["completions/max_length"] = lengths.Max(),
            ["val/num_eos_tokens"] = samples.Count(s => s.IsFinished),
        };
    }

    private void Guard(RolloutExample[] examples, int step, Dictionary<string, double> metrics)
    {
        metrics["objective/kl"] = examples.Average(e => e.Divergence);
        metrics["objective/entropy"] = examples.Average(e => e.Entropies.Sum(x => (double)x));
        var kl = metrics["objective/kl"];
        if (double.IsFinite(kl) && Math.Abs(kl) <= options.KlLimit)
            return;
        throw new UserErrorException(
            $"{Name} stopped at step {step}: the divergence from the reference is {kl} nats per response, above the "
            + $"limit of {options.KlLimit}. {LastGood()} Raise the KL coefficient or lower the learning rate");
    }

    private (double Loss, double Norm) Update(StepRunner runner, RolloutExample[] examples, double factor, int step)
    {
        // One order per pass: the batcher's epochs are the passes.
        var data = new Batcher(examples, new BatcherOptions
        {
            BatchSize = arguments.PerDeviceTrainBatchSize,
            Seed = arguments.Seed ^ (step << 8),
        });
        var (loss, norm, updates) = (0.0, 0.0, options.Epochs * options.MiniBatches);
        for (var i = 0; i < updates; i++)
        {
            try
            {
                var outcome = runner.Run(data, arguments.GradientAccumulationSteps, factor);
                (loss, norm) = (loss + outcome.Loss, norm + outcome.GradNorm);
            }
            catch (UserErrorException e)
            {
                throw new UserErrorException($"{Name} stopped at step {step}: {e.Message}. {LastGood()}", e);
            }
        }
        return (loss / updates, norm / updates);
    }

    private string LastGood() => newest is null
        ? "No checkpoint was written yet."
        : $"The last good checkpoint is {newest}.";

    private void Report(
        StepRunner runner, RolloutExample[] examples, Dictionary<string, double> metrics,
        (double Loss, double Norm, double Factor) step, TimeSpan left)
    {
        var rate = runner.Optimizer.Groups[0].LearningRate * step.Factor;
        var seconds = metrics["time/rollout"] + metrics["time/scoring"] + metrics["time/update"];
        observer.OnStep(new StepReport(
            state.GlobalStep, state.Epoch, step.Loss, rate, step.Norm,
            examples.Sum(e => e.Length) / Math.Max(1e-9, seconds), left, tokens, metrics));
        var row = new JsonObject
        {
            ["epoch"] = Math.Round(state.Epoch, 4),
            ["episode"] = state.GlobalStep * options.Responses,
            ["grad_norm"] = step.Norm,
            ["learning_rate"] = rate,
            ["loss"] = step.Loss,
            ["step"] = state.GlobalStep,
        };
        foreach (var (name, value) in metrics)
        {
            // Times differ from run to run; a state is to be the same bits.
            if (!name.StartsWith("time/", StringComparison.Ordinal) && name != "rollout_tokens_per_second")
                row[name] = double.IsFinite(value) ? value : null;
        }
        state.LogHistory.Add(row);
    }

    private void Save(StepRunner runner)
    {
        newest = TrainingCheckpoint.Write(arguments, Method, runner.Optimizer, state);
        CheckpointFolders.Rotate(arguments.OutputDir, arguments.SaveTotalLimit, null);
        observer.OnSave(newest);
    }

    private void Resume(StepRunner runner)
    {
        if (CheckpointFolders.Resolve(arguments.OutputDir, arguments.ResumeFromCheckpoint) is not { } folder)
            return;
        state = TrainingCheckpoint.Read(folder, Method, runner.Optimizer);
        if (state.Seed != arguments.Seed)
            throw new UserErrorException(
                $"{folder}: was trained with --seed {state.Seed}, but --seed is {arguments.Seed}: "
                + "the run would not continue the same");
        state.MaxSteps = arguments.MaxSteps;
        random.Rewind(state.RandomOffset);
        if (state.Method is { } memory)
        {
            runner.Optimizer.StepCount = (int)memory["optimizer_steps"]!;
            Recall(memory);
        }
        newest = folder;
        observer.OnMessage($"resumed from {folder} at step {state.GlobalStep}");
    }

    private long Trainable() => Method.Groups(arguments).Sum(g => g.Parameters.Sum(p => p.Value.Count));

    private sealed class Silent : ITrainerObserver;
}
