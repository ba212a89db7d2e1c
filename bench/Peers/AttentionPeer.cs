using CudaLora.Engine;
using TorchSharp;
using F = TorchSharp.torch.nn.functional;

namespace CudaLora.Peers;

/// <summary>
/// Attention and rotary positions. Both sides get (B, T, H, D), as projections make it: torch transposes a view.
/// </summary>
internal static class AttentionPeer
{
    public static void Run(OpContest ops)
    {
        Causal(ops, batch: 8, tokens: 128, heads: 8, size: 32);
        Causal(ops, batch: 4, tokens: 512, heads: 8, size: 64);
        Causal(ops, batch: 1, tokens: 1024, heads: 8, size: 128);
        Decode(ops, batch: 1, keys: 2048, heads: 16, size: 64);
        Decode(ops, batch: 16, keys: 512, heads: 8, size: 64);
        Rope(ops, batch: 8, tokens: 256, heads: 16, size: 64);
    }

    private static void Causal(OpContest ops, int batch, int tokens, int heads, int size)
    {
        var x = new OpInput(Shape.Of(batch, tokens, heads, size));
        var options = new AttentionOptions { Scale = 1 / MathF.Sqrt(size), Causal = true };
        ops.Run(
            $"attention, causal, {batch} x {tokens} tokens, {heads} heads of {size}", [x, x, x],
            t => t[0].Attention(t[1], t[2], options), t => Attention(t, causal: true));
    }

    // One query per row over a full cache.
    private static void Decode(OpContest ops, int batch, int keys, int heads, int size)
    {
        OpInput q = new(Shape.Of(batch, 1, heads, size), Trained: false);
        OpInput kv = new(Shape.Of(batch, keys, heads, size), Trained: false);
        var options = new AttentionOptions { Scale = 1 / MathF.Sqrt(size), Causal = true };
        ops.Run(
            $"attention, {batch} x 1 token, {keys} keys, {heads} heads of {size}", [q, kv, kv],
            t => t[0].Attention(t[1], t[2], options), t => Attention(t, causal: false));
    }

    private static torch.Tensor Attention(torch.Tensor[] t, bool causal) => F.scaled_dot_product_attention(
        t[0].transpose(1, 2), t[1].transpose(1, 2), t[2].transpose(1, 2), is_casual: causal)
        .transpose(1, 2).contiguous();

    private static void Rope(OpContest ops, int batch, int tokens, int heads, int size)
    {
        using var table = new RotaryTable(tokens, size, new Kernels.Simd.RopeFrequencies(10000f));
        var places = Enumerable.Range(0, batch * tokens).Select(i => i % tokens).ToArray();
        using var positions = Tensor.From(places, Shape.Of(batch, tokens));
        using var scope = torch.NewDisposeScope();
        var inverse = torch.pow(10000f, -torch.arange(0, size, 2, torch.float32) / size);
        var angles = torch.arange(0, tokens, torch.float32).unsqueeze(1) * inverse.unsqueeze(0);
        var both = torch.cat([angles, angles], -1).unsqueeze(1); // (T, 1, D)
        var (cos, sin) = (both.cos(), both.sin());
        ops.Run(
            $"rotary positions, {batch} x {tokens} tokens, {heads} heads of {size}",
            [new OpInput(Shape.Of(batch, tokens, heads, size))], x => x[0].Rope(table, positions), x =>
            {
                var turned = torch.cat([-x[0].slice(-1, size / 2, size, 1), x[0].slice(-1, 0, size / 2, 1)], -1);
                return x[0] * cos + turned * sin;
            },
            // Angles reach the hundreds and are rounded on their way to the cosine.
            1e-4);
    }
}
