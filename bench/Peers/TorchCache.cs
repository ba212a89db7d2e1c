using TorchSharp;
using static TorchSharp.torch;

namespace CudaLora.Peers;

/// <summary>Keys and values of the tokens that a Llama has read, in tensors of the full length (B, H, T, D).</summary>
internal sealed class TorchCache : IDisposable
{
    private readonly Tensor[] keys;
    private readonly Tensor[] values;

    public TorchCache(LlamaSize size)
    {
        keys = [.. Enumerable.Range(0, size.Layers).Select(_ => Layer())];
        values = [.. Enumerable.Range(0, size.Layers).Select(_ => Layer())];

        Tensor Layer() => zeros(size.Batch, size.Heads, size.Tokens, size.HeadSize);
    }

    /// <summary>Tokens that are in.</summary>
    public long Length { get; private set; }

    /// <summary>Forgets everything.</summary>
    public void Clear() => Length = 0;

    /// <summary>Puts keys and values (B, H, T, D) after those that are in, and returns all.</summary>
    public (Tensor Keys, Tensor Values) Append(int layer, Tensor k, Tensor v)
    {
        var count = k.shape[2];
        keys[layer].narrow(2, Length, count).copy_(k);
        values[layer].narrow(2, Length, count).copy_(v);
        return (keys[layer].narrow(2, 0, Length + count), values[layer].narrow(2, 0, Length + count));
    }

    /// <summary>Counts tokens whose keys and values every layer has put in.</summary>
    public void Advance(long count) => Length += count;

    public void Dispose()
    {
        foreach (var tensor in keys.Concat(values))
            tensor.Dispose();
    }
}
