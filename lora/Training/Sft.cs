using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Supervised fine-tuning: cross-entropy of the next token over the labelled tokens. Only their hidden states go
/// through the output layer, so prompts and padding cost no logits; a frozen output layer makes them a chunk at a time.
/// </summary>
public sealed class Sft : IObjective
{
    private int[] rows = [];
    private int[] labels = [];

    /// <inheritdoc/>
    public void Prepare(Batch batch, float scale, InputSet inputs)
    {
        var shape = Shape.Of(batch.B, batch.T);
        inputs.Set("ids", batch.Ids, shape);
        inputs.Set("positions", batch.Positions, shape);
        if (batch.Packed)
            inputs.Set("segments", batch.Segments, shape);
        var count = Gather(batch.Targets, inputs.Multiple);
        inputs.Set("rows", rows.AsSpan(0, count), Shape.Of(count));
        inputs.Set("labels", labels.AsSpan(0, count), Shape.Of(count));
        inputs.Set("scale", [scale], Shape.Scalar);
    }

    /// <inheritdoc/>
    public Tensor Loss(CausalLM model, InputSet inputs)
    {
        var ids = inputs["ids"];
        var hidden = model.Hidden(ids, inputs["positions"], inputs.Find("segments")); // (B, T, C)
        var labelled = hidden
            .Reshape(Shape.Of((int)ids.Count, hidden.Shape[2]))
            .Embedding(inputs["rows"]); // (L, C)
        return model.Head is { Adapter: null, Quantized: null, Bias: null, Weight.Trainable: false } head
            ? labelled.LinearCrossEntropy(head.Weight, inputs["labels"], inputs["scale"])
            : model.Logits(labelled).CrossEntropy(inputs["labels"], inputs["scale"]);
    }

    // The labelled places, filled up with ignored ones to a multiple.
    private int Gather(ReadOnlySpan<int> targets, int multiple)
    {
        var room = (targets.Length + multiple - 1) / multiple * multiple;
        if (rows.Length < room)
            (rows, labels) = (new int[room], new int[room]);
        var count = 0;
        for (var i = 0; i < targets.Length; i++)
        {
            if (targets[i] == TensorOps.IgnoredLabel)
                continue;
            (rows[count], labels[count]) = (i, targets[i]);
            count++;
        }
        if (count == 0)
            throw new UserErrorException("a batch has no labelled token: every label is -100");
        for (; count % multiple != 0; count++)
            (rows[count], labels[count]) = (0, TensorOps.IgnoredLabel);
        return count;
    }
}
