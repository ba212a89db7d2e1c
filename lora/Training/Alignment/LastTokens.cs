using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>The value that <see cref="CausalLM.Score"/> gives each row of a batch, at its last token.</summary>
internal sealed class LastTokens
{
    private int[] rows = [];

    /// <summary>Writes tokens and the places of the last ones.</summary>
    public void Prepare(Batch batch, InputSet inputs)
    {
        var shape = Shape.Of(batch.B, batch.T);
        inputs.Set("ids", batch.Ids, shape);
        inputs.Set("positions", batch.Positions, shape);
        if (rows.Length < batch.B)
            rows = new int[batch.B];
        for (var b = 0; b < batch.B; b++)
            rows[b] = (b * batch.T) + batch.Lengths[b] - 1;
        inputs.Set("last", rows.AsSpan(0, batch.B), Shape.Of(batch.B));
    }

    /// <summary>The values (B), F32.</summary>
    public static Tensor Values(CausalLM model, InputSet inputs)
    {
        var score = model.Score ?? throw new InvalidOperationException(
            "[reward] the model must have a score head, but has none: CausalLM.AddScore makes one");
        var ids = inputs["ids"];
        var hidden = model.Hidden(ids, inputs["positions"]); // (B, T, C)
        var states = hidden
            .Reshape(Shape.Of((int)ids.Count, hidden.Shape[2]))
            .Embedding(inputs["last"]); // (B, C)
        var values = score.Forward(states); // (B, 1)
        if (values.DType != DType.F32)
            values = values.Cast(DType.F32);
        return values.Reshape(Shape.Of(ids.Shape[0]));
    }
}
