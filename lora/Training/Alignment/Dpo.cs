using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>The forms of DPO's loss.</summary>
public enum DpoLoss
{
    /// <summary>
    /// -log σ(β Δ) (Rafailov et al. 2023), with label smoothing ε: -(1-ε) log σ(β Δ) - ε log σ(-β Δ).
    /// </summary>
    Sigmoid,

    /// <summary>max(0, 1 - β Δ) (SLiC, Zhao et al. 2023).</summary>
    Hinge,

    /// <summary>(Δ - 1/(2β))² on means over tokens (IPO, Azar et al. 2023).</summary>
    Ipo,

    /// <summary>
    /// The sigmoid loss freed of the bias that a share ε of swapped labels gives it (Chowdhury et al. 2024):
    /// (-(1-ε) log σ(β Δ) + ε log σ(-β Δ)) / (1 - 2ε).
    /// </summary>
    Robust,
}

/// <summary>Options of <see cref="Dpo"/>, with TRL's names and defaults.</summary>
public sealed record DpoOptions
{
    /// <summary><c>loss_type</c>.</summary>
    public DpoLoss Loss { get; init; }

    /// <summary><c>beta</c>: how strongly the policy is held to the reference.</summary>
    public double Beta { get; init; } = 0.1;

    /// <summary><c>label_smoothing</c> ε: share of the labels that are wrong; below 0.5.</summary>
    public double LabelSmoothing { get; init; }

    /// <summary><c>reference_free</c>: the reference gives every response the same probability.</summary>
    public bool ReferenceFree { get; init; }
}

/// <summary>
/// Direct preference optimisation: Δ is how much more the policy than the reference prefers the chosen response,
/// (log π(c) - log ref(c)) - (log π(r) - log ref(r)).
/// </summary>
public sealed class Dpo : PairObjective
{
    private readonly DpoOptions options;

    /// <summary>Checks the options.</summary>
    /// <exception cref="UserErrorException">A value is outside its range.</exception>
    public Dpo(DpoOptions? options = null)
        : base(options is not { ReferenceFree: true }, options?.Loss == DpoLoss.Ipo, options?.Beta ?? 0.1)
    {
        this.options = options ?? new DpoOptions();
        if (!(this.options.Beta > 0))
            throw new UserErrorException($"beta must be above 0, but is {this.options.Beta}");
        if (this.options.LabelSmoothing is not (>= 0 and < 0.5))
            throw new UserErrorException(
                $"label_smoothing must be at least 0 and below 0.5, but is {this.options.LabelSmoothing}");
        if (this.options.LabelSmoothing > 0 && this.options.Loss is DpoLoss.Hinge or DpoLoss.Ipo)
            throw new UserErrorException("label_smoothing needs the loss type sigmoid or robust");
    }

    /// <inheritdoc/>
    public override Tensor Losses(Tensor chosen, Tensor rejected)
    {
        var (beta, smoothing) = ((float)options.Beta, (float)options.LabelSmoothing);
        var delta = chosen.Sub(rejected);
        if (options.Loss == DpoLoss.Hinge)
            return LossMath.Relu(LossMath.Constant(delta, 1).Sub(delta.Scale(beta)));
        if (options.Loss == DpoLoss.Ipo)
        {
            var distance = delta.Sub(LossMath.Constant(delta, 1 / (2 * beta)));
            return distance.Mul(distance);
        }
        var loss = LossMath.LogSigmoid(delta.Scale(beta)).Scale(smoothing - 1);
        if (smoothing == 0)
            return loss;
        var swapped = LossMath.LogSigmoid(delta.Scale(-beta)).Scale(smoothing);
        return options.Loss == DpoLoss.Robust
            ? loss.Add(swapped).Scale(1 / (1 - (2 * smoothing)))
            : loss.Sub(swapped);
    }
}
