using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Log-probabilities of sampled responses under policy and reference, entropies and values, by the same forward pass
/// that training uses; so the first ratio of a step is exactly one.
/// </summary>
/// <param name="model">The policy; without its adapter it is the reference.</param>
/// <param name="head">The value head, or null.</param>
/// <param name="temperature">Divides the logits.</param>
/// <param name="batchSize">Rows at once.</param>
/// <param name="usesReference">Whether the reference is asked.</param>
/// <param name="frozen">The reference, where it is not the model without its adapter.</param>
internal sealed class PolicyScorer(
    CausalLM model, ValueHead? head, double temperature, int batchSize, bool usesReference, CausalLM? frozen = null)
{
    private readonly CompletionInputs completions = new();
    private readonly StateInputs states = new();
    private readonly Batch batch = new();

    /// <summary>Fills in the examples.</summary>
    public void Score(IReadOnlyList<RolloutExample> examples)
    {
        using var evaluating = TrainingMode.Off(model);
        using var noGrad = GradMode.NoGrad();
        using var inputs = new InputSet(model.Device);
        var data = new Batcher(examples, new BatcherOptions { BatchSize = batchSize, Shuffle = false });
        for (var i = 0; i < data.BatchesPerEpoch; i++)
        {
            using var scope = TensorScope.Begin();
            data.Next(batch);
            inputs.Begin();
            completions.Prepare(batch, inputs);
            if (head is not null)
                states.Prepare(batch, completions.Width, inputs);
            inputs.Commit();
            ScoreBatch(inputs);
            inputs.Used();
        }
    }

    private void ScoreBatch(InputSet inputs)
    {
        var hidden = completions.States(model, inputs); // (n T, C)
        var logits = Logits(model, completions.Labelled(hidden, inputs)); // (n, K, V)
        Put(Entropy(logits), (example, row) => example.Entropies = row[..example.Count]);
        Put(logits.GatherLogProbs(inputs["labels"]), (example, row) => example.LogProbs = row[..example.Count]);
        if (head is not null)
            Put(head.Forward(StateInputs.Of(hidden, inputs)), (example, row) => example.Values = row[..example.States]);
        if (!usesReference)
        {
            foreach (var example in batch.Examples.Cast<RolloutExample>())
                example.Reference = example.LogProbs;
            return;
        }
        using var without = frozen is null ? ReferencePolicy.Of(model) : default;
        var reference = frozen ?? model;
        var known = Logits(reference, completions.Labelled(completions.States(reference, inputs), inputs));
        Put(known.GatherLogProbs(inputs["labels"]), (example, row) => example.Reference = row[..example.Count]);
    }

    /// <summary>Entropy of the distribution over each row of logits (..., V): (...).</summary>
    public static Tensor Entropy(Tensor logits)
    {
        var wide = logits.DType == DType.F32 ? logits : logits.Cast(DType.F32);
        return wide.Softmax().Mul(wide.LogSoftmax()).Sum(^1).Scale(-1);
    }

    private Tensor Logits(CausalLM from, Tensor labelled) => Tempered(from.Logits(labelled), temperature);

    /// <summary>Logits divided by a temperature.</summary>
    public static Tensor Tempered(Tensor logits, double temperature) =>
        temperature == 1 ? logits : logits.Scale((float)(1 / temperature));

    private void Put(Tensor values, Action<RolloutExample, float[]> put)
    {
        var (table, width) = (values.ToArray(), values.Shape[1]); // (n, K), or (n, S) of states
        for (var r = 0; r < batch.B; r++)
            put((RolloutExample)batch.Examples[r], table[(r * width)..((r + 1) * width)]);
    }
}
