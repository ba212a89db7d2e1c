using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>What every block of one forward pass shares.</summary>
internal sealed class ForwardPass
{
    /// <summary>Position of each token (B, T), I32.</summary>
    public required Tensor Positions { get; init; }

    /// <summary>Segment of each token (B, T), I32, or null: tokens see only their own segment.</summary>
    public Tensor? Segments { get; init; }

    /// <summary>Keys that count in each row (B), I32, or null for all.</summary>
    public Tensor? KeyLengths { get; init; }

    /// <summary>Slot of each row's first query (B), I32, with a cache.</summary>
    public Tensor? QueryStarts { get; init; }

    /// <summary>Slots in use over all rows, with a cache.</summary>
    public int KeyCount { get; init; }

    /// <summary>Keys and values of earlier tokens, or null.</summary>
    public KvCache? Cache { get; init; }

    /// <summary>Tokens in front of every row that are in no cache, or null.</summary>
    public VirtualTokens? VirtualTokens { get; init; }

    /// <summary>
    /// Attention of q (B, T, H, D) over k and v (B, T, G, D) and what the cache holds: (B, T, H * D).
    /// </summary>
    public Tensor Attend(int layer, int window, Tensor q, Tensor k, Tensor v)
    {
        if (Cache is { } cache)
            (k, v) = cache.Append(layer, k, v, QueryStarts!);
        else if (VirtualTokens?.KeysAndValues(layer) is var (keys, values))
            (k, v) = (Behind(keys, k), Behind(values, v));
        var y = q.Attention(k, v, new AttentionOptions
        {
            Scale = 1 / MathF.Sqrt(q.Shape[3]),
            Causal = true,
            Window = window,
            Segments = Segments,
            KeyLengths = KeyLengths,
            QueryStarts = QueryStarts,
            KeyCount = KeyCount,
        });
        return y.Reshape(Shape.Of(q.Shape[0], q.Shape[1], q.Shape[2] * q.Shape[3]));
    }

    private static Tensor Behind(Tensor front, Tensor x)
    {
        var rows = CausalLM.Repeated(front, x.Shape[0]);
        return TensorOps.Concat(1, rows.DType == x.DType ? rows : rows.Cast(x.DType), x);
    }
}
