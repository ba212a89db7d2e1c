using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Keys and values of the tokens a model has read, so that each further token costs one step. Rows may have different
/// lengths: row b's next token goes to slot <c>Lengths[b]</c>.
/// </summary>
public sealed class KvCache : IDisposable
{
    private readonly Tensor[] keys; // each (B, capacity, G, D)
    private readonly Tensor[] values;
    private readonly int[] lengths;

    /// <summary>An empty cache.</summary>
    /// <param name="config">The model.</param>
    /// <param name="batch">Rows.</param>
    /// <param name="capacity">Tokens per row.</param>
    /// <param name="placement">The model's device and types; the CPU if null.</param>
    public KvCache(ModelConfig config, int batch, int capacity, ModelPlacement? placement = null)
    {
        placement ??= new ModelPlacement();
        Capacity = capacity;
        lengths = new int[batch];
        var shape = Shape.Of(batch, capacity, config.KeyValueHeads, config.HeadDim);
        keys = new Tensor[config.Layers];
        values = new Tensor[config.Layers];
        for (var i = 0; i < config.Layers; i++)
        {
            keys[i] = Tensor.Zeros(shape, placement.Activations, placement.Device);
            values[i] = Tensor.Zeros(shape, placement.Activations, placement.Device);
        }
    }

    /// <summary>Rows.</summary>
    public int Batch => lengths.Length;

    /// <summary>Tokens per row at most.</summary>
    public int Capacity { get; }

    /// <summary>Tokens each row holds.</summary>
    public ReadOnlySpan<int> Lengths => lengths;

    /// <summary>Forgets what comes after a length, in every row.</summary>
    public void Truncate(int length)
    {
        for (var b = 0; b < lengths.Length; b++)
            lengths[b] = Math.Min(lengths[b], length);
    }

    /// <summary>Releases the memory.</summary>
    public void Dispose()
    {
        foreach (var tensor in keys)
            tensor.Dispose();
        foreach (var tensor in values)
            tensor.Dispose();
    }

    /// <summary>
    /// Stores k and v (B, T, G, D) of a layer after what each row holds, given as (B) I32 on the cache's device, and
    /// returns the whole cache.
    /// </summary>
    internal (Tensor Keys, Tensor Values) Append(int layer, Tensor k, Tensor v, Tensor starts)
    {
        keys[layer].CacheAppend(values[layer], k, v, starts);
        return (keys[layer], values[layer]);
    }

    /// <summary>Keys and values of a layer, each (B, capacity, G, D).</summary>
    internal (Tensor Keys, Tensor Values) Of(int layer) => (keys[layer], values[layer]);

    /// <summary>Makes the appended tokens part of the rows, after the last layer.</summary>
    internal void Advance(ReadOnlySpan<int> counts)
    {
        for (var b = 0; b < lengths.Length; b++)
            lengths[b] += counts[b];
    }
}
