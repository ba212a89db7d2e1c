using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// What a reward model minimises on pairs (Bradley and Terry 1952; Ouyang et al. 2022): the mean of
/// -log σ(r(chosen) - r(rejected) - margin), plus a coefficient times the mean of (r(chosen) + r(rejected))², which
/// keeps rewards around 0. r is <see cref="CausalLM.Score"/> at the last token. Batches hold chosen and rejected in
/// turn.
/// </summary>
/// <param name="centring">TRL's <c>center_rewards_coefficient</c>.</param>
public sealed class RewardLoss(double centring = 0) : IMeasuredObjective
{
    private readonly ObjectiveMetrics metrics = new("accuracy", "margin", "mean_reward");
    private readonly LastTokens last = new();
    private float[] margins = [];

    /// <inheritdoc/>
    public int Weight(Batch batch) => batch.B / 2;

    /// <inheritdoc/>
    public void Prepare(Batch batch, float scale, InputSet inputs)
    {
        last.Prepare(batch, inputs);
        var pairs = batch.B / 2;
        if (margins.Length < pairs)
            margins = new float[pairs];
        for (var i = 0; i < pairs; i++)
            margins[i] = ((ResponseExample)batch.Examples[2 * i]).Margin;
        inputs.Set("margins", margins.AsSpan(0, pairs), Shape.Of(pairs));
        inputs.Set("scale", [scale], Shape.Scalar);
    }

    /// <inheritdoc/>
    public Tensor Loss(CausalLM model, InputSet inputs)
    {
        var values = LastTokens.Values(model, inputs); // (2p)
        var (chosen, rejected) = (LossMath.Side(values, 0), LossMath.Side(values, 1));
        var difference = chosen.Sub(rejected);
        var loss = LossMath.LogSigmoid(difference.Sub(inputs["margins"])).Sum().Scale(-1);
        if (centring > 0)
        {
            var sum = chosen.Add(rejected);
            loss = loss.Add(sum.Mul(sum).Sum().Scale((float)centring));
        }
        using (GradMode.NoGrad())
        {
            metrics.Add(
                model, (int)chosen.Count, LossMath.IsPositive(difference).Sum(), difference.Sum(),
                values.Sum().Scale(0.5f));
        }
        return loss.Mul(inputs["scale"]);
    }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, double> TakeMetrics(bool training) => metrics.Take(training);
}
