using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>How GRPO's token losses become one number.</summary>
public enum GrpoLoss
{
    /// <summary>Mean over all tokens of an update (Yu et al. 2025): every token weighs the same.</summary>
    Dapo,

    /// <summary>Mean over responses of the mean over their tokens (Shao et al. 2024).</summary>
    Grpo,

    /// <summary>Mean over the tokens of each micro-batch.</summary>
    Bnpo,

    /// <summary>Sum over tokens by responses times the longest possible (Liu et al. 2025): no bias by length.</summary>
    DrGrpo,
}

/// <summary>What advantages are divided by.</summary>
public enum GrpoScale
{
    /// <summary>The deviation of the rewards of a prompt's responses.</summary>
    Group,

    /// <summary>The deviation of all rewards of a step.</summary>
    Batch,

    /// <summary>Nothing, as Dr. GRPO.</summary>
    None,
}

/// <summary>Options of <see cref="GrpoTrainer"/>, with TRL's names and defaults.</summary>
public sealed record GrpoOptions : OnlineOptions
{
    /// <summary>TRL's defaults: eight generations, temperature 1, one pass.</summary>
    public GrpoOptions()
    {
        (Prompts, Generations, Temperature, Epochs) = (8, 8, 1, 1);
        ResponseLength = 512;
    }

    /// <summary><c>beta</c>: weight of the divergence (k3) in the loss; 0 needs no reference.</summary>
    public double Beta { get; init; }

    /// <summary><c>epsilon</c>: how far below 1 the ratio counts.</summary>
    public double Epsilon { get; init; } = 0.2;

    /// <summary><c>epsilon_high</c>: how far above 1; null for the same. DAPO recommends 0.28.</summary>
    public double? EpsilonHigh { get; init; }

    /// <summary><c>loss_type</c>.</summary>
    public GrpoLoss Loss { get; init; }

    /// <summary><c>scale_rewards</c>.</summary>
    public GrpoScale ScaleRewards { get; init; }

    /// <summary><c>importance_sampling_level</c> sequence (GSPO): one ratio per response, of mean log-probabilities.
    /// </summary>
    public bool SequenceLevel { get; init; }

    /// <summary><c>mask_truncated_completions</c>: responses that did not end by themselves are not learned.</summary>
    public bool MaskTruncated { get; init; }

    /// <inheritdoc/>
    public override void Validate()
    {
        base.Validate();
        if (Generations < 2)
            throw new UserErrorException(
                $"num_generations must be at least 2, as responses are compared, but is {Generations}");
        if (!(Beta >= 0) || Epsilon is not (> 0 and < 1) || !(EpsilonHigh is null or > 0))
            throw new UserErrorException(
                "beta must be at least 0, epsilon between 0 and 1 and epsilon_high above 0, but are "
                + $"{Beta}, {Epsilon} and {EpsilonHigh}");
    }
}
