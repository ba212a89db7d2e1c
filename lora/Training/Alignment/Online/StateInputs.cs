using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// The states of a batch of sampled responses as a grid (n, S): before each token, and after the last where the reward
/// comes there. The filling is masked out.
/// </summary>
internal sealed class StateInputs
{
    private int[] places = [];
    private float[] values = [];
    private int width;

    /// <summary>Writes the places of the states. The grid is one column wider than that of the tokens.</summary>
    /// <param name="batch">Sampled responses.</param>
    /// <param name="tokens">Columns of the tokens' grid (K).</param>
    /// <param name="inputs">Takes the places.</param>
    /// <returns>States of the batch.</returns>
    public int Prepare(Batch batch, int tokens, InputSet inputs)
    {
        width = tokens + 1;
        if (places.Length < batch.B * width)
            (places, values) = (new int[batch.B * width], new float[batch.B * width]);
        places.AsSpan(0, batch.B * width).Clear();
        var count = 0;
        for (var r = 0; r < batch.B; r++)
        {
            var example = (RolloutExample)batch.Examples[r];
            var first = (r * batch.T) + example.Length - 1 - example.Count;
            for (var s = 0; s < example.States; s++)
                places[(r * width) + s] = first + s;
            count += example.States;
        }
        inputs.Set("states", places.AsSpan(0, batch.B * width), Shape.Of(batch.B, width));
        return count;
    }

    /// <summary>Writes one value per state (n, S), 0 in the filling.</summary>
    public void Set(string name, Batch batch, InputSet inputs, Func<RolloutExample, int, float> value)
    {
        for (var r = 0; r < batch.B; r++)
        {
            var example = (RolloutExample)batch.Examples[r];
            for (var s = 0; s < width; s++)
                values[(r * width) + s] = s < example.States ? value(example, s) : 0;
        }
        inputs.Set(name, values.AsSpan(0, batch.B * width), Shape.Of(batch.B, width));
    }

    /// <summary>Hidden states (n, S, C) out of those of all tokens (n T, C).</summary>
    public static Tensor Of(Tensor hidden, InputSet inputs) => hidden.Embedding(inputs["states"]);
}
