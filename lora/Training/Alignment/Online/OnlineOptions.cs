using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>What PPO and GRPO have in common: how responses are sampled and used. Names as in TRL.</summary>
public record OnlineOptions
{
    /// <summary>Prompts of a step.</summary>
    public int Prompts { get; init; } = 64;

    /// <summary>Responses to each prompt: GRPO's <c>num_generations</c>; 1 for PPO.</summary>
    public int Generations { get; init; } = 1;

    /// <summary><c>response_length</c>: most tokens of a response.</summary>
    public int ResponseLength { get; init; } = 53;

    /// <summary>
    /// <c>temperature</c> of sampling; all log-probabilities are taken at it. Sampling is never cut by top-k or top-p,
    /// since the log-probabilities would be those of another distribution.
    /// </summary>
    public double Temperature { get; init; } = 0.7;

    /// <summary>Passes over a step's responses: <c>num_ppo_epochs</c>, <c>num_iterations</c>.</summary>
    public int Epochs { get; init; } = 4;

    /// <summary><c>num_mini_batches</c>: optimiser steps of a pass.</summary>
    public int MiniBatches { get; init; } = 1;

    /// <summary><c>missing_eos_penalty</c>: taken off the reward of responses that do not end by themselves.</summary>
    public double MissingEosPenalty { get; init; }

    /// <summary>
    /// Stops the run when the mean divergence of a response from the reference is above this, in nats: the policy has
    /// left the reference's ground, and rewards mean nothing there.
    /// </summary>
    public double KlLimit { get; init; } = 200;

    /// <summary>Rows generated and scored at once.</summary>
    public int RolloutBatchSize { get; init; } = 64;

    /// <summary>Responses of a step.</summary>
    public int Responses => Prompts * Generations;

    /// <summary>What a sample's reward counts: less the penalty, if it did not end by itself.</summary>
    internal float Counted(RewardSample sample, float reward) =>
        reward - (float)(sample.IsFinished ? 0 : MissingEosPenalty);

    /// <summary>Checks the ranges.</summary>
    /// <exception cref="UserErrorException">A value is outside its range.</exception>
    public virtual void Validate()
    {
        if (Prompts < 1 || Generations < 1 || ResponseLength < 1 || Epochs < 1 || RolloutBatchSize < 1)
            throw new UserErrorException(
                "prompts, generations, response_length, epochs and the rollout batch must be at least 1, but are "
                + $"{Prompts}, {Generations}, {ResponseLength}, {Epochs} and {RolloutBatchSize}");
        if (MiniBatches < 1 || Responses % MiniBatches != 0)
            throw new UserErrorException(
                $"num_mini_batches must divide the {Responses} responses of a step, but is {MiniBatches}");
        if (!double.IsFinite(Temperature) || Temperature <= 0)
            throw new UserErrorException($"temperature must be above 0, but is {Temperature}");
    }
}
