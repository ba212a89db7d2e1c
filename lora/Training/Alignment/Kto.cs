using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Options of <see cref="Kto"/>, with TRL's names and defaults.</summary>
public sealed record KtoOptions
{
    /// <summary><c>beta</c>: how strongly the policy is held to the reference.</summary>
    public double Beta { get; init; } = 0.1;

    /// <summary><c>desirable_weight</c>.</summary>
    public double DesirableWeight { get; init; } = 1;

    /// <summary><c>undesirable_weight</c>.</summary>
    public double UndesirableWeight { get; init; } = 1;
}

/// <summary>
/// Kahneman-Tversky optimisation (Ethayarajh et al. 2024) from responses that are judged one by one. With
/// l = log π - log ref of a response and z the same mean over the batch's prompts with unrelated responses, at least 0
/// and without gradient, a desirable response costs w (1 - σ(β (l - z))), an undesirable one w (1 - σ(β (z - l))).
/// Batches hold each response and its prompt's unrelated response in turn.
/// </summary>
public sealed class Kto : IMeasuredObjective
{
    private readonly KtoOptions options;
    private readonly CompletionInputs responses = new(first: 0, step: 2);
    private readonly CompletionInputs unrelated = new("kl.", first: 1, step: 2);

    private readonly ObjectiveMetrics metrics = new(
        "rewards/margins", "kl", "rewards/chosen", "rewards/rejected", "logps/chosen", "logps/rejected");

    /// <summary>Checks the options.</summary>
    /// <exception cref="UserErrorException">A value is outside its range.</exception>
    public Kto(KtoOptions? options = null)
    {
        this.options = options ?? new KtoOptions();
        if (!(this.options.Beta > 0) || !(this.options.DesirableWeight >= 0) || !(this.options.UndesirableWeight >= 0))
            throw new UserErrorException("beta must be above 0 and the weights at least 0, but are "
                + $"{this.options.Beta}, {this.options.DesirableWeight} and {this.options.UndesirableWeight}");
    }

    /// <inheritdoc/>
    public int Weight(Batch batch) => batch.B / 2;

    /// <inheritdoc/>
    public void Prepare(Batch batch, float scale, InputSet inputs)
    {
        responses.Prepare(batch, inputs);
        responses.SetReference(batch, inputs);
        unrelated.Prepare(batch, inputs);
        unrelated.SetReference(batch, inputs);
        responses.SetRows("desirable", batch, inputs, example => IsDesirable(example) ? 1 : 0);
        responses.SetRows("sign", batch, inputs, example => IsDesirable(example) ? 1 : -1);
        responses.SetRows("weights", batch, inputs, example =>
            (float)(IsDesirable(example) ? options.DesirableWeight : options.UndesirableWeight));
        inputs.Set("scale", [scale], Shape.Scalar);
    }

    /// <inheritdoc/>
    public Tensor Loss(CausalLM model, InputSet inputs)
    {
        Tensor divergence;
        using (GradMode.NoGrad())
        {
            var apart = unrelated.ResponseLogProbs(model, inputs)
                .Sub(unrelated.ReferenceLogProbs(model, inputs));
            divergence = LossMath.Relu(apart.Mean().Reshape(Shape.Of(1)));
        }
        var reference = responses.ReferenceLogProbs(model, inputs);
        var policy = responses.ResponseLogProbs(model, inputs); // (n)
        var ratio = policy.Sub(reference);
        Measure(model, inputs, policy, ratio, divergence);
        return Losses(ratio, divergence, inputs["sign"], inputs["weights"]).Sum().Mul(inputs["scale"]);
    }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, double> TakeMetrics(bool training)
    {
        var taken = new Dictionary<string, double>(metrics.Take(training));
        if (taken.TryGetValue("rewards/chosen", out var chosen) && taken.TryGetValue("rewards/rejected", out var other))
            taken["rewards/margins"] = chosen - other;
        return taken;
    }

    /// <summary>The loss of each response (n).</summary>
    /// <param name="ratio">log π - log ref (n).</param>
    /// <param name="divergence">z (1), no gradient.</param>
    /// <param name="sign">1 for desirable responses, -1 for others (n).</param>
    /// <param name="weights">w (n).</param>
    public Tensor Losses(Tensor ratio, Tensor divergence, Tensor sign, Tensor weights) =>
        LossMath.Sigmoid(divergence.Sub(ratio).Mul(sign).Scale((float)options.Beta)).Mul(weights);

    private static bool IsDesirable(SftExample example) => ((ResponseExample)example).Desirable;

    private void Measure(CausalLM model, InputSet inputs, Tensor policy, Tensor ratio, Tensor divergence)
    {
        using var noGrad = GradMode.NoGrad();
        var desirable = inputs["desirable"];
        var undesirable = LossMath.Constant(desirable, 1).Sub(desirable);
        var (good, bad) = (desirable.Sum(), undesirable.Sum());
        var one = LossMath.Constant(good, 1);
        var none = LossMath.Constant(good, 0);
        var rewards = ratio.Scale((float)options.Beta);
        metrics.Add(
            model,
            [
                none, divergence.Reshape(Shape.Scalar), rewards.Mul(desirable).Sum(), rewards.Mul(undesirable).Sum(),
                policy.Mul(desirable).Sum(), policy.Mul(undesirable).Sum(),
            ],
            [none, one, good, bad, good, bad]);
    }
}
