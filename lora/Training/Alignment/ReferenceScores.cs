using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Log-probabilities of the reference policy that are computed once, before training.</summary>
public static class ReferenceScores
{
    /// <summary>
    /// Stores the log-probability of every response under the model as it is now: the reference of a full fine-tuning,
    /// or of any training that should not compute it again each step.
    /// </summary>
    public static void Precompute(
        CausalLM model, IReadOnlyList<ResponseExample> examples, int batchSize, int padId,
        CancellationToken stop = default)
    {
        using var evaluating = TrainingMode.Off(model);
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
    }
}
