using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace CudaLora.Peers;

internal sealed partial class TorchLlama
{
    /// <summary>Continues prompts of equal length by the likeliest tokens, with keys and values kept.</summary>
    /// <param name="prompts">(B, T), I64.</param>
    /// <param name="count">Tokens to add.</param>
    /// <returns>(B, count).</returns>
    public long[] Generate(Tensor prompts, int count)
    {
        using var scope = NewDisposeScope();
        using var mode = inference_mode(true);
        var cache = new Cache(size, (int)prompts.shape[0], (int)prompts.shape[1] + count);
        var ids = prompts;
        var chosen = new List<Tensor>();
        for (var i = 0; i < count; i++)
        {
            using var step = NewDisposeScope();
            var hidden = Hidden(ids, cache);
            cache.Length += (int)ids.shape[1];
            var last = hidden.select(1, hidden.shape[1] - 1); // (B, C)
            ids = F.linear(last, weights["lm_head.weight"]).argmax(-1, true).MoveToOuterDisposeScope(); // (B, 1)
            chosen.Add(ids);
        }
        return cat(chosen, 1).data<long>().ToArray();
    }

    /// <summary>Keys and values of every layer, made once: (B, H, room, D).</summary>
    private sealed class Cache(LlamaSize size, int rows, int room)
    {
        private readonly Tensor[] keys = Make(size, rows, room);
        private readonly Tensor[] values = Make(size, rows, room);

        public int Length { get; set; }

        public (Tensor Keys, Tensor Values) Append(int layer, Tensor k, Tensor v)
        {
            var count = k.shape[2];
            keys[layer].narrow(2, Length, count).copy_(k);
            values[layer].narrow(2, Length, count).copy_(v);
            return (keys[layer].narrow(2, 0, Length + count), values[layer].narrow(2, 0, Length + count));
        }

        private static Tensor[] Make(LlamaSize size, int rows, int room) =>
            [.. Enumerable.Range(0, size.Layers).Select(_ => empty(rows, size.Heads, room, size.HeadSize))];
    }
}
