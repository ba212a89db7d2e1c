using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// GRPO's loss on sampled responses: -min(ρ A, clip(ρ, 1 - ε, 1 + ε_high) A) + β (e^(ref - π) - (ref - π) - 1) at each
/// token, with log-probabilities π and ref. Batches hold <see cref="RolloutExample"/>.
/// </summary>
/// <param name="options">Clip range, β, aggregation, temperature.</param>
public sealed class GrpoObjective(GrpoOptions options) : IMeasuredObjective
{
    private readonly CompletionInputs completions = new();

    private readonly ObjectiveMetrics metrics = new(
        "policy/approxkl", "clip_ratio/region_mean", "clip_ratio/low_mean", "clip_ratio/high_mean", "kl");

    /// <inheritdoc/>
    public int Weight(Batch batch) => options.Loss == GrpoLoss.Dapo
        ? batch.Examples.Sum(e => IsLearned(e) ? ((RolloutExample)e).Count : 0)
        : batch.B;

    /// <inheritdoc/>
    public void Prepare(Batch batch, float scale, InputSet inputs)
    {
        completions.Prepare(batch, inputs);
        var learned = Math.Max(1, batch.Examples.Sum(e => IsLearned(e) ? ((RolloutExample)e).Count : 0));
        completions.SetTokens("mask", batch, inputs, (e, _) => IsLearned(e) ? 1 : 0);
        completions.SetTokens("weights", batch, inputs, (e, _) => !IsLearned(e) ? 0 : scale * options.Loss switch
        {
            GrpoLoss.Grpo => 1f / ((RolloutExample)e).Count,
            GrpoLoss.Bnpo => (float)batch.B / learned,
            GrpoLoss.DrGrpo => 1f / options.ResponseLength,
            _ => 1,
        });
        completions.SetTokens("old", batch, inputs, (e, k) => ((RolloutExample)e).LogProbs[k]);
        completions.SetTokens("advantages", batch, inputs, (e, k) => ((RolloutExample)e).Advantages[k]);
        if (options.SequenceLevel)
            completions.SetRows("shares", batch, inputs, e => 1f / ((RolloutExample)e).Count);
        if (options.Beta > 0)
            completions.SetTokens("reference", batch, inputs, (e, k) => ((RolloutExample)e).Reference[k]);
    }

    /// <inheritdoc/>
    public Tensor Loss(CausalLM model, InputSet inputs)
    {
        var labelled = completions.Labelled(completions.States(model, inputs), inputs);
        var logits = PolicyScorer.Tempered(model.Logits(labelled), options.Temperature);
        var current = logits.GatherLogProbs(inputs["labels"]); // (n, K)
        var difference = current.Sub(inputs["old"]);
        var ratio = LossMath.Exp(options.SequenceLevel ? OfSequences(difference, inputs["shares"]) : difference);
        var (low, high) = (1 - (float)options.Epsilon, 1 + (float)(options.EpsilonHigh ?? options.Epsilon));
        var gain = inputs["advantages"].Scale(-1);
        var (free, held) = (ratio.Mul(gain), LossMath.Clamp(ratio, low, high).Mul(gain));
        var losses = LossMath.Larger(free, held);
        Tensor? divergence = null;
        if (options.Beta > 0)
        {
            var apart = inputs["reference"].Sub(current);
            divergence = LossMath.Exp(apart).Sub(apart).Sub(LossMath.Constant(apart, 1));
            losses = losses.Add(divergence.Scale((float)options.Beta));
        }
        Measure(model, inputs["mask"], difference, ratio, (free, held), divergence);
        return losses.Mul(inputs["weights"]).Sum();
    }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, double> TakeMetrics(bool training) => metrics.Take(training);

    private bool IsLearned(SftExample example) =>
        !options.MaskTruncated || ((RolloutExample)example).Sample.IsFinished;

    // The mean of each row, at all its tokens.
    private static Tensor OfSequences(Tensor difference, Tensor shares)
    {
        var means = difference.Sum(^1).Mul(shares); // (n)
        return means.Reshape(Shape.Of((int)means.Count, 1)).Add(LossMath.Constant(difference, 0));
    }

    private void Measure(
        CausalLM model, Tensor mask, Tensor difference, Tensor ratio, (Tensor Free, Tensor Held) terms,
        Tensor? divergence)
    {
        using var noGrad = GradMode.NoGrad();
        var clipped = LossMath.IsPositive(terms.Held.Sub(terms.Free)).Mul(mask);
        var above = LossMath.IsPositive(ratio.Sub(LossMath.Constant(ratio, 1)));
        var count = mask.Sum();
        var sum = clipped.Sum();
        var high = clipped.Mul(above).Sum();
        var none = LossMath.Constant(count, 0);
        metrics.Add(
            model,
            [
                difference.Mul(difference).Mul(mask).Sum().Scale(0.5f), sum, sum.Sub(high), high,
                divergence is null ? none : divergence.Mul(mask).Sum(),
            ],
            [count, count, count, count, divergence is null ? none : count]);
    }
}
