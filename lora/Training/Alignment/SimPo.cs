using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Simple preference optimisation (Meng et al. 2024): -log σ(β (c - r) - γ) with c and r the mean log-probabilities of
/// chosen and rejected under the policy. No reference. As TRL's <c>simpo_gamma</c>, γ enters as β (c - r - γ/β).
/// </summary>
public sealed class SimPo : PairObjective
{
    private readonly double beta;
    private readonly double gamma;

    /// <summary>Checks the options.</summary>
    /// <param name="beta">Factor on the margin.</param>
    /// <param name="gamma">Margin that is asked for.</param>
    /// <exception cref="UserErrorException">A value is outside its range.</exception>
    public SimPo(double beta = 2, double gamma = 0.5)
        : base(usesReference: false, averages: true, beta)
    {
        if (!(beta > 0) || !(gamma >= 0))
            throw new UserErrorException($"beta must be above 0 and gamma at least 0, but are {beta} and {gamma}");
        (this.beta, this.gamma) = (beta, gamma);
    }

    /// <inheritdoc/>
    public override Tensor Losses(Tensor chosen, Tensor rejected)
    {
        var margin = chosen.Sub(rejected).Scale((float)beta);
        return LossMath.LogSigmoid(margin.Sub(LossMath.Constant(margin, (float)gamma))).Scale(-1);
    }
}
