using CudaLora.Engine;
using TorchSharp;

namespace CudaLora.Peers;

/// <summary>One LoRA training step of a small Llama: forward, backward, clipping, AdamW.</summary>
internal static class StepPeer
{
    private const int Rank = 8;
    private const double Scale = 2;

    public static void Run(Contest contest) => Case(contest, new LlamaSize(
        Vocabulary: 2048, Hidden: 256, Inner: 768, Layers: 4, Heads: 8, Batch: 8, Tokens: 128));

    private static void Case(Contest contest, LlamaSize size)
    {
        using var ours = new EngineLlama(size, Rank, Scale);
        using var peer = TorchLlama.Of(ours, size, Scale);

        var random = new Random(3);
        var shape = Shape.Of(size.Batch, size.Tokens);
        var tokens = Enumerable.Range(0, size.Batch * size.Tokens).Select(_ => random.Next(size.Vocabulary)).ToArray();
        // Each label is the next token; a row's last has none.
        var next = tokens
            .Select((_, i) => (i + 1) % size.Tokens == 0 ? TensorOps.IgnoredLabel : tokens[i + 1])
            .ToArray();
        var count = next.Count(label => label != TensorOps.IgnoredLabel);
        using var ids = Tensor.From(tokens, shape);
        using var labels = Tensor.From(next, shape);
        using var peerIds = torch.tensor(tokens.Select(id => (long)id).ToArray(), [size.Batch, size.Tokens]);
        using var peerLabels = torch.tensor(next.Select(id => (long)id).ToArray(), [size.Batch, size.Tokens]);

        void Ours() => ours.Step(ids, labels, count);

        void Peer() => peer.Step(peerIds, peerLabels);

        // Three steps: their losses, and the clipped gradients of the last against the largest of their tensor.
        double Difference()
        {
            var worst = 0.0;
            for (var step = 0; step < 3; step++)
                worst = Math.Max(worst, Math.Abs(ours.Step(ids, labels, count) - peer.Step(peerIds, peerLabels)));
            return ours.Trained.Select(p => Distance(p.Value.Grad!, ours.ClipFactor, peer.Adapters[p.Path.Value]))
                .Append(worst).Max();
        }

        var name = $"{size.Layers} layers, {size.Hidden} wide, {size.Batch} x {size.Tokens} tokens, r {Rank}";
        contest.Run("step", name, Ours, Peer, Difference, 1e-3, Work.Tokens(tokens.Length));
    }

    private static double Distance(Tensor gradient, double factor, torch.Tensor peer)
    {
        using var grad = peer.grad!;
        var expected = grad.data<float>().ToArray();
        var largest = expected.Max(Math.Abs);
        return gradient.ToArray().Select((value, i) => Math.Abs(value * factor - expected[i]) / largest).Max();
    }
}
