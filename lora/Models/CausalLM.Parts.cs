using CudaLora.Engine;

namespace CudaLora.Lora;

// What fine-tuning methods add to the model itself: virtual tokens in front of every text, noise, biases.
public sealed partial class CausalLM
{
    /// <summary>Trained tokens in front of every text, or null.</summary>
    internal VirtualTokens? VirtualTokens { get; set; }

    /// <summary>The adapters that are part of the weights, in the order they came in.</summary>
    internal List<ModelAdapter> Merged { get; } = [];

    /// <summary>Gives linear layers biases of zero, wherever the family's config has a name for them.</summary>
    internal void AddBiases()
    {
        var (attention, mlp) = (
            Config.Family is ModelFamily.Llama or ModelFamily.Qwen3, Config.Family == ModelFamily.Llama);
        foreach (var linear in blocks.SelectMany(block => block.Modules()).OfType<Linear>())
        {
            if (linear.Path.Value.Contains(".self_attn.", StringComparison.Ordinal) ? attention : mlp)
                linear.AddBias();
        }
        Config = Config with
        {
            QkvBias = Config.QkvBias || attention,
            AttentionOutputBias = Config.AttentionOutputBias || attention,
            MlpBias = Config.MlpBias || mlp,
        };
    }

    /// <summary>Embeddings with NEFTune's noise, in training.</summary>
    internal Tensor Noisy(Tensor x)
    {
        if (!Training || NeftuneNoiseAlpha == 0 || Random is null)
            return x;
        var noise = Tensor.Empty(x.Shape, device: Device.Cpu);
        var bound = NeftuneNoiseAlpha / Math.Sqrt((double)x.Shape[1] * x.Shape[2]);
        RandomParameters.Fill(noise, Initializer.Uniform((float)bound), Random);
        return x.Add(noise.To(x.Device));
    }

    // An empty cache begins with the virtual tokens.
    private void BeginCache(KvCache cache)
    {
        if (VirtualTokens is not { } front || cache.Lengths.ContainsAnyExcept(0))
            return;
        var (batch, count) = (cache.Batch, front.Count);
        int[] counts = [.. Enumerable.Repeat(count, batch)];
        var starts = Tensor.From(new int[batch], Shape.Of(batch), Device);
        if (front.Embeddings() is { } embeddings)
        {
            var x = Repeated(embeddings, batch);
            var shape = Shape.Of(batch, count);
            Blocks(x, new ForwardPass
            {
                Positions = Tensor.From([.. Enumerable.Range(0, batch * count).Select(i => i % count)], shape, Device),
                KeyLengths = Tensor.From(counts, Shape.Of(batch), Device),
                QueryStarts = starts,
                KeyCount = count,
                Cache = cache,
            });
        }
        else
        {
            for (var layer = 0; layer < Config.Layers; layer++)
            {
                var (keys, values) = front.KeysAndValues(layer)!.Value;
                cache.Append(layer, Activation(Repeated(keys, batch)), Activation(Repeated(values, batch)), starts);
            }
        }
        cache.Advance(counts);
    }

    private Tensor Activation(Tensor x) => x.DType == Placement.Activations ? x : x.Cast(Placement.Activations);

    /// <summary>(N, ...) to (batch, N, ...): one copy per row, whose gradients add up.</summary>
    internal static Tensor Repeated(Tensor x, int batch)
    {
        Span<int> dims = stackalloc int[x.Shape.Rank + 1];
        x.Shape.Dims.CopyTo(dims[1..]);
        dims[0] = 1;
        var one = x.Reshape(Shape.Of(dims));
        if (batch == 1)
            return one;
        dims.Fill(1);
        dims[0] = batch;
        return one.Add(Tensor.Zeros(Shape.Of(dims), DType.F32, x.Device));
    }

    // Real tokens come after the virtual ones: positions (B, T), or lengths (B). With embeddings in front, these have
    // positions too. Padding may lie beyond the context.
    private Tensor Shifted(Tensor x, int by)
    {
        if (by == 0)
            return x;
        var values = new int[x.Count];
        x.CopyTo(values.AsSpan());
        if (x.Shape.Rank == 1)
            return Tensor.From(Array.ConvertAll(values, v => v + by), x.Shape, Device);
        var front = VirtualTokens!.AreEmbeddings ? by : 0;
        var (rows, columns) = (x.Shape[0], x.Shape[1]);
        var shifted = new int[rows * (columns + front)];
        for (var r = 0; r < rows; r++)
        {
            var row = shifted.AsSpan(r * (columns + front), columns + front);
            for (var t = 0; t < front; t++)
                row[t] = t;
            for (var t = 0; t < columns; t++)
                row[front + t] = Math.Min(values[(r * columns) + t] + by, Config.MaxPositions - 1);
        }
        return Tensor.From(shifted, Shape.Of(rows, columns + front), Device);
    }
}
