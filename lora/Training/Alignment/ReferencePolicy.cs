using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// The model as it was before training: while this is open the adapter is out of the forward pass, so no second copy
/// of the weights exists.
/// </summary>
internal readonly ref struct ReferencePolicy
{
    private readonly LoraAdapter? adapter;

    private ReferencePolicy(LoraAdapter? adapter) => this.adapter = adapter;

    /// <summary>Takes the active adapter out until disposed.</summary>
    public static ReferencePolicy Of(CausalLM model)
    {
        var active = model.ActiveAdapter ?? throw new InvalidOperationException(
            "[reference_policy] the model must have an adapter, whose absence is the reference, but has none: compute "
            + "reference log-probabilities before training");
        active.Deactivate();
        return new ReferencePolicy(active);
    }

    /// <summary>Puts the adapter back.</summary>
    public void Dispose() => adapter?.Activate();

    /// <summary>
    /// Stores the log-probability of every response under the model as it is now: the reference of a full fine-tuning,
    /// or of any training that should not compute it again each step.
    /// </summary>
    public static void Precompute(
        CausalLM model, IReadOnlyList<ResponseExample> examples, int batchSize, int padId,
        CancellationToken stop = default)
    {
        var training = model.Training;
        model.Training = false;
        using var noGrad = GradMode.NoGrad();
        using var inputs = new InputSet(model.Device);
        var data = new Batcher(
            examples, new BatcherOptions { BatchSize = batchSize, Shuffle = false, PadId = padId });
        var (batch, completions) = (new Batch(), new CompletionInputs());
        for (var i = 0; i < data.BatchesPerEpoch; i++)
        {
            stop.ThrowIfCancellationRequested();
            using var scope = TensorScope.Begin();
            data.Next(batch);
            inputs.Begin();
            completions.Prepare(batch, inputs);
            inputs.Commit();
            var sums = completions.ResponseLogProbs(model, inputs).ToArray();
            inputs.Used();
            for (var r = 0; r < sums.Length; r++)
                ((ResponseExample)batch.Examples[r]).ReferenceLogProb = sums[r];
        }
        model.Training = training;
    }
}
