using static TorchSharp.torch;

namespace CudaLora.Peers;

internal sealed partial class TorchLlama
{
    /// <summary>Continues prompts of equal length with keys and values kept.</summary>
    /// <param name="prompts">(B, T), I64.</param>
    /// <param name="count">Tokens to add.</param>
    /// <param name="choose">The next tokens (B, 1) from logits (B, V) and their number.</param>
    /// <returns>(B, count).</returns>
    public Tensor Sample(Tensor prompts, int count, Func<Tensor, int, Tensor> choose)
    {
        using var mode = inference_mode(true);
        using var scope = NewDisposeScope();
        var cache = new Cache(size, (int)prompts.shape[0], (int)prompts.shape[1] + count);
        var (ids, chosen) = (prompts, new List<Tensor>());
        for (var i = 0; i < count; i++)
        {
            using var step = NewDisposeScope();
            var hidden = Hidden(ids, cache);
            cache.Length += (int)ids.shape[1];
            ids = choose(Logits(hidden.select(1, -1)), i).MoveToOuterDisposeScope();
            chosen.Add(ids);
        }
        return cat(chosen, 1).MoveToOuterDisposeScope();
    }

    /// <summary>Normalised last hidden states (B, T, C) of ids (B, T).</summary>
    public Tensor States(Tensor ids) => Hidden(ids, null);
}
