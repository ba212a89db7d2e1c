namespace CudaLora.Lora;

/// <summary>Why a run ended.</summary>
public enum TrainingEnd
{
    /// <summary>All steps were done.</summary>
    Completed,

    /// <summary>The evaluation loss stopped improving.</summary>
    EarlyStop,

    /// <summary>The user asked to stop; a checkpoint was written.</summary>
    Interrupted,
}

/// <summary>Outcome of a training run.</summary>
/// <param name="End">Why it ended.</param>
/// <param name="Steps">Optimiser steps done in all.</param>
/// <param name="TrainLoss">Mean loss per labelled token over this run's steps.</param>
/// <param name="Runtime">Time of this run's steps, evaluation and saving included.</param>
/// <param name="TokensPerSecond">Input tokens of this run per second of stepping.</param>
/// <param name="Checkpoint">Newest checkpoint folder, if one was written.</param>
/// <param name="State">The state at the end.</param>
public sealed record TrainingResult(
    TrainingEnd End, int Steps, double TrainLoss, TimeSpan Runtime, double TokensPerSecond, string? Checkpoint,
    TrainerState State);
