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
    private readonly IFineTuning method;
    private readonly CausalLM model;
    private readonly IObjective objective;
    private readonly Batch[] batches;
    private readonly InputSet[] inputs;
    private readonly Tensor lossSum;
    private readonly GraphCache? graphs;
    private readonly Action work;
    private readonly bool checkpointed;
    private int microBatches;
    private double penalty;

    public StepRunner(TrainingArguments arguments, IFineTuning method, IObjective objective)
    {
        this.arguments = arguments;
        (this.method, this.objective) = (method, objective);
        model = method.Model;
        // First, as it may refuse its options.
        Optimizer = new AdamW(
            method.Groups(arguments), arguments.AdamBeta1, arguments.AdamBeta2, arguments.AdamEpsilon,
            OptimizerNames.IsEightBit(arguments.Optim),
            OptimizerNames.IsPaged(arguments.Optim) ? AdamW.DefaultPageBytes : 0);
        checkpointed = model.GradientCheckpointing;
        model.GradientCheckpointing |= arguments.GradientCheckpointing;
        batches = new Batch[Math.Max(1, arguments.GradientAccumulationSteps)];
        inputs = new InputSet[batches.Length];
        for (var i = 0; i < batches.Length; i++)
            (batches[i], inputs[i]) = (new Batch(), new InputSet(model.Device));
        lossSum = Tensor.Owned(Shape.Scalar, device: model.Device);
        var captures = arguments.CudaGraphs && !method.HasHostWork && model.NeftuneNoiseAlpha == 0;
        graphs = captures && model.Device is CudaDevice cuda
            ? new GraphCache(cuda)
            : null;
        work = Work;
    }

    public AdamW Optimizer { get; }

    /// <summary>Steps of the whole run.</summary>
    public int TotalSteps { get; init; }

    /// <summary>Steps captured so far, by shape.</summary>
    public int GraphCount => graphs?.Count ?? 0;

    /// <summary>Runs one step on the next <paramref name="microBatches"/> of <paramref name="data"/>.</summary>
    public StepOutcome Run(Batcher data, int microBatches, double rateFactor)
    {
        var first = data.State;
        this.microBatches = microBatches;
        var (labels, tokens) = (0L, 0L);
        for (var i = 0; i < microBatches; i++)
        {
            data.Next(batches[i]);
            labels += objective.Weight(batches[i]);
            tokens += batches[i].TokenCount;
        }
        if (labels == 0)
            return new StepOutcome(0, 0, tokens);
        using var scope = TensorScope.Begin();
        for (var i = 0; i < microBatches; i++)
        {
            inputs[i].Begin();
            objective.Prepare(batches[i], 1f / labels, inputs[i]);
            inputs[i].Commit();
        }
        Optimizer.BeginStep(rateFactor);
        if (graphs is null)
            work();
        else
            graphs.Run(Key(), work, model.Random);
        for (var i = 0; i < microBatches; i++)
            inputs[i].Used();
        var loss = lossSum.Item() + penalty;
        var (norm, updated) = Optimizer.EndStep();
        if (!updated || !double.IsFinite(loss))
            throw Diverged(first, loss, norm, updated);
        method.Updated(new MethodStep(
            Optimizer.StepCount, TotalSteps, GradientClip.Scale(norm, arguments.MaxGradNorm)));
        return new StepOutcome(loss, norm, tokens);
    }

    // All of a step on the device; reads nothing back, unless the method does.
    private void Work()
    {
        Optimizer.ZeroGrad();
        lossSum.Clear();
        for (var i = 0; i < microBatches; i++)
        {
            using var scope = TensorScope.Begin();
            var part = objective.Loss(model, inputs[i]);
            lossSum.AddInPlace(part);
            if (part.RequiresGrad)
                part.Backward();
        }
        penalty = method.AddPenalty();
        Optimizer.ClipAndStep(arguments.MaxGradNorm);
    }

    private string Key() => string.Join(" | ", inputs.Take(microBatches).Select(set => set.Key));

    public void Dispose()
    {
        model.GradientCheckpointing = checkpointed;
        graphs?.Dispose();
        Optimizer.Dispose();
        lossSum.Dispose();
        foreach (var set in inputs)
            set.Dispose();
    }

    private UserErrorException Diverged(BatcherState at, double loss, double norm, bool updated) => new(
        $"training diverged at step {Optimizer.StepCount + (updated ? 0 : 1)}, batch {at.Position} of epoch {at.Epoch}: "
        + $"loss {loss}, gradient norm {norm}{(updated ? "" : "; nothing was updated")}. " +
        "Lower --learning-rate, or resume from the last checkpoint with --resume-from-checkpoint true");
}
