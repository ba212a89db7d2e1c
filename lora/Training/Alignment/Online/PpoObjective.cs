using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// PPO's loss on sampled responses (Schulman et al. 2017): the mean over their tokens of the clipped policy loss
/// max(-A ρ, -A clip(ρ, 1 ± ε)) with ρ = π / π_old, plus <c>vf_coef</c> times the mean over their states of the clipped
/// value loss, minus <c>entropy_coef</c> times the mean entropy. The mean over states is taken in each micro-batch.
/// Batches hold <see cref="RolloutExample"/>.
/// </summary>
/// <param name="options">Clip ranges, weights and the temperature.</param>
/// <param name="head">The value head.</param>
public sealed class PpoObjective(PpoOptions options, ValueHead head) : IMeasuredObjective
{
    private const int ValueClips = 4;

    private readonly CompletionInputs completions = new();
    private readonly StateInputs states = new();

    private readonly ObjectiveMetrics metrics = new(
        "policy/approxkl_avg", "policy/clipfrac_avg", "loss/policy_avg", "loss/value_avg", "val/clipfrac_avg",
        "policy/entropy_avg", "val/ratio");

    /// <inheritdoc/>
    public void Prepare(Batch batch, float scale, InputSet inputs)
    {
        completions.Prepare(batch, inputs);
        completions.SetTokens("mask", batch, inputs, (_, _) => 1);
        completions.SetTokens("old", batch, inputs, (e, k) => ((RolloutExample)e).LogProbs[k]);
        completions.SetTokens("advantages", batch, inputs, (e, k) => ((RolloutExample)e).Advantages[k]);
        var count = states.Prepare(batch, completions.Width, inputs);
        states.Set("known", batch, inputs, (_, _) => 1);
        states.Set("values", batch, inputs, (e, s) => e.Values[s]);
        states.Set("returns", batch, inputs, (e, s) => e.Returns[s]);
        // Of a sum over states, in units of the sum over tokens.
        inputs.Set("value_weight", [0.5f * batch.LabelCount / count], Shape.Scalar);
        inputs.Set("scale", [scale], Shape.Scalar);
    }

    /// <inheritdoc/>
    public Tensor Loss(CausalLM model, InputSet inputs)
    {
        var mask = inputs["mask"];
        var hidden = completions.States(model, inputs); // (n T, C)
        var logits = PolicyScorer.Tempered(
            model.Logits(completions.Labelled(hidden, inputs)), options.Temperature); // (n, K, V)
        var difference = logits.GatherLogProbs(inputs["labels"]).Sub(inputs["old"]); // (n, K)
        var ratio = LossMath.Exp(difference);
        var gain = inputs["advantages"].Scale(-1);
        var (free, held) = (ratio.Mul(gain), LossMath.Clamp(
            ratio, 1 - (float)options.ClipRange, 1 + (float)options.ClipRange).Mul(gain));
        var policy = LossMath.Larger(free, held).Mul(mask).Sum();
        var known = inputs["known"];
        var (near, far) = ValueErrors(head.Forward(StateInputs.Of(hidden, inputs)), inputs); // (n, S)
        var value = LossMath.Larger(near, far).Mul(known).Sum().Mul(inputs["value_weight"]);
        var loss = policy.Add(value.Scale((float)options.VfCoef));
        Tensor entropy;
        if (options.EntropyCoef > 0)
        {
            entropy = PolicyScorer.Entropy(logits).Mul(mask).Sum();
            loss = loss.Sub(entropy.Scale((float)options.EntropyCoef));
        }
        else
        {
            using var noGrad = GradMode.NoGrad();
            entropy = PolicyScorer.Entropy(logits).Mul(mask).Sum();
        }
        using (GradMode.NoGrad())
        {
            Measure(
                model, mask, known, difference.Mul(difference).Mul(mask).Sum().Scale(0.5f),
                LossMath.IsPositive(held.Sub(free)).Mul(mask).Sum(), policy, value,
                LossMath.IsPositive(far.Sub(near)).Mul(known).Sum(), entropy, ratio.Mul(mask).Sum());
        }
        return loss.Mul(inputs["scale"]);
    }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, double> TakeMetrics(bool training) => metrics.Take(training);

    // Squared errors of the values, and of the values kept near the old ones.
    private (Tensor Near, Tensor Far) ValueErrors(Tensor values, InputSet inputs)
    {
        var range = (float)options.ClipRangeValue;
        var old = inputs["values"];
        var error = values.Sub(inputs["returns"]);
        var kept = old.Add(LossMath.Clamp(values.Sub(old), -range, range)).Sub(inputs["returns"]);
        return (error.Mul(error), kept.Mul(kept));
    }

    private void Measure(CausalLM model, Tensor mask, Tensor known, params ReadOnlySpan<Tensor> sums)
    {
        var counts = new Tensor[sums.Length];
        Array.Fill(counts, mask.Sum());
        counts[ValueClips] = known.Sum();
        metrics.Add(model, sums, counts);
    }
}
