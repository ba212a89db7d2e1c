using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>What one optimiser step did.</summary>
/// <param name="Loss">Mean loss per labelled token.</param>
/// <param name="GradNorm">Norm before clipping.</param>
/// <param name="Tokens">Input tokens, padding not counted.</param>
internal readonly record struct StepOutcome(double Loss, double GradNorm, long Tokens);

/// <summary>
/// One optimiser step: forward and backward of every micro-batch, clip, AdamW. Nothing here allocates native memory
/// once shapes have been seen.
/// </summary>
internal sealed class StepRunner : IDisposable
{
    private readonly TrainingArguments arguments;
    private readonly CausalLM model;
    private readonly IObjective objective;
    private readonly Batch[] batches;
    private readonly InputSet[] inputs;

    public StepRunner(TrainingArguments arguments, IFineTuning method, IObjective objective)
    {
        this.arguments = arguments;
        this.objective = objective;
        model = method.Model;
        batches = new Batch[Math.Max(1, arguments.GradientAccumulationSteps)];
        inputs = new InputSet[batches.Length];
        for (var i = 0; i < batches.Length; i++)
            (batches[i], inputs[i]) = (new Batch(), new InputSet(model.Device));
        Optimizer = new AdamW(
            method.Groups(arguments), arguments.AdamBeta1, arguments.AdamBeta2, arguments.AdamEpsilon,
            arguments.Optim == "adamw_8bit");
    }

    public AdamW Optimizer { get; }

    /// <summary>Runs one step on the next <paramref name="microBatches"/> of <paramref name="data"/>.</summary>
    public StepOutcome Run(Batcher data, int microBatches, double rateFactor)
    {
        var first = data.State;
        var (labels, tokens) = (0L, 0L);
        for (var i = 0; i < microBatches; i++)
        {
            data.Next(batches[i]);
            labels += objective.Weight(batches[i]);
            tokens += batches[i].TokenCount;
        }
        if (labels == 0)
            return new StepOutcome(0, 0, tokens);
        Optimizer.ZeroGrad();
        double loss = 0;
        for (var i = 0; i < microBatches; i++)
        {
            using var scope = TensorScope.Begin();
            var part = objective.Loss(model, batches[i], 1f / labels, inputs[i]);
            loss += part.Item();
            if (part.RequiresGrad)
                part.Backward();
        }
        var norm = GradientClip.Norm(Optimizer.Groups);
        if (!double.IsFinite(loss) || !double.IsFinite(norm))
            throw Diverged(first, loss, norm);
        Optimizer.Step(rateFactor, GradientClip.Scale(norm, arguments.MaxGradNorm));
        return new StepOutcome(loss, norm, tokens);
    }

    public void Dispose()
    {
        Optimizer.Dispose();
        foreach (var set in inputs)
            set.Dispose();
    }

    private UserErrorException Diverged(BatcherState at, double loss, double norm) => new(
        $"training diverged at step {Optimizer.StepCount + 1}, batch {at.Position} of epoch {at.Epoch}: " +
        $"loss {loss}, gradient norm {norm}; nothing was updated. " +
        "Lower --learning-rate, or resume from the last checkpoint with --resume-from-checkpoint true");
}
