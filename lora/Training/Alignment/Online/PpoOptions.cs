using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Estimators of the divergence at a token, from d = log π - log ref (Schulman 2020).</summary>
public enum KlEstimator
{
    /// <summary>d: unbiased.</summary>
    K1,

    /// <summary>e^-d - 1 + d: unbiased, never negative, less variance.</summary>
    K3,
}

/// <summary>Options of <see cref="PpoTrainer"/>, with TRL's names and defaults.</summary>
public sealed record PpoOptions : OnlineOptions
{
    /// <summary><c>kl_coef</c>: taken off each token's reward, times its divergence from the reference.</summary>
    public double KlCoef { get; init; } = 0.05;

    /// <summary><c>kl_estimator</c>.</summary>
    public KlEstimator KlEstimator { get; init; }

    /// <summary>
    /// <c>target</c> of the adaptive coefficient (Ziegler et al. 2019), in nats per response; null keeps it fixed.
    /// </summary>
    public double? KlTarget { get; init; }

    /// <summary><c>horizon</c> of the adaptive coefficient, in responses.</summary>
    public double KlHorizon { get; init; } = 10000;

    /// <summary><c>cliprange</c>: how far the ratio of new to old probability counts.</summary>
    public double ClipRange { get; init; } = 0.2;

    /// <summary><c>cliprange_value</c>: how far a value may move in one step.</summary>
    public double ClipRangeValue { get; init; } = 0.2;

    /// <summary><c>vf_coef</c>: weight of the value loss.</summary>
    public double VfCoef { get; init; } = 0.1;

    /// <summary>Weight of an entropy bonus.</summary>
    public double EntropyCoef { get; init; }

    /// <summary><c>gamma</c>: discount.</summary>
    public double Gamma { get; init; } = 1;

    /// <summary><c>lam</c> of generalised advantage estimation (Schulman et al. 2015).</summary>
    public double Lambda { get; init; } = 0.95;

    /// <summary><c>whiten_rewards</c>: scale rewards to variance 1, the mean kept.</summary>
    public bool WhitenRewards { get; init; }

    /// <inheritdoc/>
    public override void Validate()
    {
        base.Validate();
        if (Generations != 1)
            throw new UserErrorException($"PPO samples one response to a prompt, but generations is {Generations}");
        if (Gamma is not (> 0 and <= 1) || Lambda is not (>= 0 and <= 1))
            throw new UserErrorException(
                $"gamma must be above 0, lam at least 0 and both at most 1, but are {Gamma} and {Lambda}");
        if (!(KlCoef >= 0) || !(ClipRange > 0) || !(ClipRangeValue > 0) || !(VfCoef >= 0) || !(EntropyCoef >= 0))
            throw new UserErrorException(
                "kl_coef, vf_coef and the entropy's must be at least 0 and the clip ranges above 0, but are "
                + $"{KlCoef}, {VfCoef}, {EntropyCoef}, {ClipRange} and {ClipRangeValue}");
        if (KlTarget is { } target && !(target > 0))
            throw new UserErrorException($"target must be above 0, but is {target}");
    }
}
