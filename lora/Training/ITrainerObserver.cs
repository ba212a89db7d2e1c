namespace CudaLora.Lora;

/// <summary>What a run is about to do, known before the first step.</summary>
/// <param name="Method">lora, full, ...</param>
/// <param name="TotalSteps">Optimiser steps.</param>
/// <param name="FirstStep">Steps already done when resumed, else 0.</param>
/// <param name="Examples">Training examples.</param>
/// <param name="EvalExamples">Held-out examples.</param>
/// <param name="TrainableParameters">Parameters that change.</param>
/// <param name="TotalParameters">All parameters, the adapter's included.</param>
/// <param name="Device">Where it runs.</param>
public sealed record TrainingPlan(
    string Method, int TotalSteps, int FirstStep, int Examples, int EvalExamples,
    long TrainableParameters, long TotalParameters, string Device);

/// <summary>Figures of one optimiser step.</summary>
/// <param name="Step">Steps done, this one included.</param>
/// <param name="Epoch">Passes over the data, with fraction.</param>
/// <param name="Loss">Mean loss per labelled token of this step.</param>
/// <param name="LearningRate">Rate this step used (first group).</param>
/// <param name="GradNorm">Global norm before clipping.</param>
/// <param name="TokensPerSecond">Input tokens per second over the last steps, padding not counted.</param>
/// <param name="Remaining">Estimated time to the last step.</param>
/// <param name="TotalTokens">Input tokens since the run began, padding not counted.</param>
/// <param name="Metrics">What the objective measures beyond the loss, means since the last log row; null between
/// rows.</param>
public readonly record struct StepReport(
    int Step, double Epoch, double Loss, double LearningRate, double GradNorm, double TokensPerSecond,
    TimeSpan Remaining, long TotalTokens = 0, IReadOnlyDictionary<string, double>? Metrics = null);

/// <summary>Result of one pass over the evaluation set.</summary>
/// <param name="Step">Optimiser steps done.</param>
/// <param name="Loss">Mean loss per labelled token.</param>
/// <param name="Seconds">Time it took.</param>
/// <param name="Examples">Examples scored.</param>
/// <param name="IsBest">Lowest loss so far.</param>
/// <param name="Metrics">What the objective measures beyond the loss.</param>
public readonly record struct EvalReport(
    int Step, double Loss, double Seconds, int Examples, bool IsBest,
    IReadOnlyDictionary<string, double>? Metrics = null)
{
    /// <summary>e to the loss.</summary>
    public double Perplexity => Math.Exp(Loss);
}

/// <summary>
/// Watches a training run. Every method has an empty default, so an observer implements what it shows.
/// </summary>
public interface ITrainerObserver
{
    /// <summary>Before the first step.</summary>
    void OnStart(TrainingPlan plan)
    {
    }

    /// <summary>After every optimiser step.</summary>
    void OnStep(in StepReport report)
    {
    }

    /// <summary>While the evaluation set is scored.</summary>
    void OnEvalProgress(int done, int total)
    {
    }

    /// <summary>After the evaluation set was scored.</summary>
    void OnEvaluate(in EvalReport report)
    {
    }

    /// <summary>After a checkpoint folder was written.</summary>
    void OnSave(string folder)
    {
    }

    /// <summary>
    /// Something the user should know: truncated examples, a resumed run, a checkpoint that was skipped.
    /// </summary>
    void OnMessage(string message)
    {
    }

    /// <summary>After responses were sampled and rewarded: PPO and GRPO.</summary>
    void OnSamples(int step, IReadOnlyList<RewardSample> samples, ReadOnlySpan<float> rewards)
    {
    }
}
