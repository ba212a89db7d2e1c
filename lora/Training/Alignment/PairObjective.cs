using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// A loss on pairs of responses, from the log-probabilities of chosen and rejected under policy and reference. Batches
/// hold chosen and rejected in turn.
/// </summary>
/// <param name="usesReference">Whether the loss depends on the reference policy.</param>
/// <param name="averages">Whether log-probabilities are means over a response's tokens, not sums.</param>
/// <param name="beta">Factor of the rewards that are measured.</param>
public abstract class PairObjective(bool usesReference, bool averages, double beta) : IMeasuredObjective
{
    private readonly CompletionInputs completions = new();

    private readonly ObjectiveMetrics metrics = new(
        "rewards/accuracies", "rewards/margins", "rewards/chosen", "rewards/rejected", "logps/chosen",
        "logps/rejected");

    /// <inheritdoc/>
    public int Weight(Batch batch) => batch.B / 2;

    /// <inheritdoc/>
    public virtual void Prepare(Batch batch, float scale, InputSet inputs)
    {
        completions.Prepare(batch, inputs);
        if (usesReference)
            completions.SetReference(batch, inputs);
        if (averages)
            completions.SetRows("shares", batch, inputs, example => 1f / example.LabelCount);
        inputs.Set("scale", [scale], Shape.Scalar);
    }

    /// <inheritdoc/>
    public Tensor Loss(CausalLM model, InputSet inputs)
    {
        var reference = usesReference ? Mean(completions.ReferenceLogProbs(model, inputs), inputs) : null;
        var states = completions.States(model, inputs);
        var policy = Mean(completions.LogProbs(model, states, inputs).Sum(^1), inputs); // (2p)
        var (chosen, rejected) = (LossMath.Side(policy, 0), LossMath.Side(policy, 1));
        var (better, worse) = reference is null
            ? (chosen, rejected)
            : (chosen.Sub(LossMath.Side(reference, 0)), rejected.Sub(LossMath.Side(reference, 1)));
        Measure(model, chosen, rejected, better, worse);
        var loss = Losses(better, worse).Sum().Mul(inputs["scale"]);
        return Extra(model, states, inputs) is { } more ? loss.Add(more) : loss;
    }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, double> TakeMetrics(bool training) => metrics.Take(training);

    /// <summary>The loss of each pair (p).</summary>
    /// <param name="chosen">Log-probability of the chosen responses (p), relative to the reference if it is
    /// used.</param>
    /// <param name="rejected">The same of the rejected ones.</param>
    public abstract Tensor Losses(Tensor chosen, Tensor rejected);

    /// <summary>What is added to the scaled sum of the losses, or null.</summary>
    /// <param name="model">The model.</param>
    /// <param name="states">Hidden states of all tokens of the batch (B T, C).</param>
    /// <param name="inputs">What was prepared.</param>
    protected virtual Tensor? Extra(CausalLM model, Tensor states, InputSet inputs) => null;

    private Tensor Mean(Tensor sums, InputSet inputs) => averages ? sums.Mul(inputs["shares"]) : sums;

    private void Measure(CausalLM model, Tensor chosen, Tensor rejected, Tensor better, Tensor worse)
    {
        using var noGrad = GradMode.NoGrad();
        var margins = better.Sub(worse);
        metrics.Add(
            model, (int)chosen.Count, LossMath.IsPositive(margins).Sum(), margins.Sum().Scale((float)beta),
            better.Sum().Scale((float)beta), worse.Sum().Scale((float)beta), chosen.Sum(), rejected.Sum());
    }
}
