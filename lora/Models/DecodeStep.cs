using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// The next token of every row on a CUDA device: embedding, blocks, output layer and draw as one captured graph per
/// span of keys, whose lengths and positions the host writes before each replay.
/// </summary>
internal sealed class DecodeStep : IDisposable
{
    // Keys beyond a row's length cost the attention a look; a graph of its own for every length would cost more.
    private const int KeySpan = 256;

    private readonly CausalLM model;
    private readonly KvCache cache;
    private readonly CudaSampler sampler;
    private readonly GraphCache graphs;
    private readonly InputSet inputs;
    private readonly int span;
    private readonly int[] lengths;
    private readonly int[] positions;
    private readonly Action queue;
    private int keyCount;
    private string key = "";

    public DecodeStep(CausalLM model, CudaDevice device, KvCache cache, CudaSampler sampler, int span = KeySpan)
    {
        this.span = span;
        queue = Queue;
        (this.model, this.cache, this.sampler) = (model, cache, sampler);
        (graphs, inputs) = (new GraphCache(device), new InputSet(device));
        (lengths, positions) = (new int[cache.Batch], new int[cache.Batch]);
    }

    /// <summary>Graphs captured so far.</summary>
    public int GraphCount => graphs.Count;

    /// <summary>Reads one token per row and draws the next.</summary>
    /// <param name="ids">The tokens (B).</param>
    /// <param name="counts">1 where a row goes on, 0 where it has ended: its token is not kept.</param>
    /// <param name="step">Number of the token in its continuation.</param>
    public ReadOnlySpan<int> Run(ReadOnlySpan<int> ids, ReadOnlySpan<int> counts, int step)
    {
        var longest = 0;
        for (var b = 0; b < lengths.Length; b++)
        {
            lengths[b] = cache.Lengths[b] + counts[b];
            positions[b] = Math.Min(cache.Lengths[b], model.Config.MaxPositions - 1);
            longest = Math.Max(longest, cache.Lengths[b] + 1);
        }
        var keys = Math.Min(cache.Capacity, (longest + span - 1) / span * span);
        var column = Shape.Of(lengths.Length, 1);
        inputs.Begin();
        inputs.Set("ids", ids, column);
        inputs.Set("positions", positions, column);
        inputs.Set("lengths", lengths, Shape.Of(lengths.Length));
        inputs.Set("starts", cache.Lengths, Shape.Of(lengths.Length));
        inputs.Commit();
        sampler.SetStep(step);
        if (keys != keyCount)
            (keyCount, key) = (keys, $"{keys} keys");
        graphs.Run(key, queue, null);
        inputs.Used();
        cache.Advance(counts);
        return sampler.Read();
    }

    public void Dispose()
    {
        graphs.Dispose();
        inputs.Dispose();
    }

    private void Queue()
    {
        using var scope = TensorScope.Begin();
        var hidden = model.Hidden(inputs, cache, keyCount); // (B, 1, C)
        sampler.Queue(model.Logits(hidden.Reshape(Shape.Of(cache.Batch, hidden.Shape[2]))));
    }
}
