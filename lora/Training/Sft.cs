using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Supervised fine-tuning: cross-entropy of the next token over the labelled tokens. Only their hidden states go
/// through the output layer, so prompts and padding cost no logits.
/// </summary>
public sealed class Sft : IObjective
{
    private int[] rows = [];
    private int[] labels = [];

    /// <inheritdoc/>
    public Tensor Loss(CausalLM model, Batch batch, float scale)
    {
        var (shape, device) = (Shape.Of(batch.B, batch.T), model.Device);
        var hidden = model.Hidden(
            Tensor.From(batch.Ids, shape, device),
            Tensor.From(batch.Positions, shape, device),
            batch.Packed ? Tensor.From(batch.Segments, shape, device) : null); // (B, T, C)
        var count = Gather(batch.Targets);
        if (count == 0)
            throw new UserErrorException("a batch has no labelled token: every label is -100");
        var labelled = hidden
            .Reshape(Shape.Of(batch.B * batch.T, hidden.Shape[2]))
            .Embedding(Tensor.From(rows.AsSpan(0, count), Shape.Of(count), device)); // (L, C)
        return model.Logits(labelled)
            .CrossEntropy(Tensor.From(labels.AsSpan(0, count), Shape.Of(count), device), scale);
    }

    private int Gather(ReadOnlySpan<int> targets)
    {
        if (rows.Length < targets.Length)
            (rows, labels) = (new int[targets.Length], new int[targets.Length]);
        var count = 0;
        for (var i = 0; i < targets.Length; i++)
        {
            if (targets[i] == TensorOps.IgnoredLabel)
                continue;
            (rows[count], labels[count]) = (i, targets[i]);
            count++;
        }
        return count;
    }
}
