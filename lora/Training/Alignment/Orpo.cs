using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Odds-ratio preference optimisation (Hong et al. 2024): the cross-entropy of the chosen response minus
/// β log σ(log-odds(c) - log-odds(r)), with c and r the mean log-probabilities. No reference.
/// </summary>
public sealed class Orpo : PairObjective
{
    private readonly double beta;
    private readonly bool learnsPrompt;
    private int[] rows = [];
    private int[] labels = [];

    /// <summary>Checks the options.</summary>
    /// <param name="beta">Weight of the odds ratio.</param>
    /// <param name="learnsPrompt">The cross-entropy covers the prompt too, as TRL has it; else the response alone, as
    /// in the paper and in LLaMA-Factory.</param>
    /// <exception cref="UserErrorException">A value is outside its range.</exception>
    public Orpo(double beta = 0.1, bool learnsPrompt = true)
        : base(usesReference: false, averages: true, beta)
    {
        if (!(beta >= 0))
            throw new UserErrorException($"beta must be at least 0, but is {beta}");
        (this.beta, this.learnsPrompt) = (beta, learnsPrompt);
    }

    /// <inheritdoc/>
    public override void Prepare(Batch batch, float scale, InputSet inputs)
    {
        base.Prepare(batch, scale, inputs);
        var count = Gather(batch, inputs.Multiple, out var learned);
        inputs.Set("nll.rows", rows.AsSpan(0, count), Shape.Of(count));
        inputs.Set("nll.labels", labels.AsSpan(0, count), Shape.Of(count));
        // The mean over the tokens of the batch, times the batch's share of the step.
        inputs.Set("nll.scale", [scale * Weight(batch) / learned], Shape.Scalar);
    }

    /// <inheritdoc/>
    public override Tensor Losses(Tensor chosen, Tensor rejected) => LossMath
        .LogSigmoid(LossMath.LogOdds(chosen).Sub(LossMath.LogOdds(rejected)))
        .Scale((float)-beta);

    /// <inheritdoc/>
    protected override Tensor Extra(CausalLM model, Tensor states, InputSet inputs) => model
        .Logits(states.Embedding(inputs["nll.rows"]))
        .CrossEntropy(inputs["nll.labels"], inputs["nll.scale"]);

    // Places (b, t) of the chosen rows, which are the even ones, and the tokens they predict.
    private int Gather(Batch batch, int multiple, out int learned)
    {
        var room = (batch.Ids.Length + multiple - 1) / multiple * multiple;
        if (rows.Length < room)
            (rows, labels) = (new int[room], new int[room]);
        var count = 0;
        for (var b = 0; b < batch.B; b += 2)
        {
            for (var t = 0; t + 1 < batch.Lengths[b]; t++)
            {
                var at = (b * batch.T) + t;
                if (!learnsPrompt && batch.Targets[at] == TensorOps.IgnoredLabel)
                    continue;
                (rows[count], labels[count]) = (at, batch.Ids[at + 1]);
                count++;
            }
        }
        learned = count;
        for (; count % multiple != 0; count++)
            (rows[count], labels[count]) = (0, TensorOps.IgnoredLabel);
        return count;
    }
}
