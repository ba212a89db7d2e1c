using CudaLora.Engine;
using TorchSharp;
using F = TorchSharp.torch.nn.functional;

namespace CudaLora.Peers;

/// <summary>Ops that take ids: the embedding and the losses.</summary>
internal static class LookupPeer
{
    private const int Rows = 1024;
    private const int Width = 256;
    private const int Vocabulary = 8192;

    public static void Run(OpContest ops)
    {
        var values = Enumerable.Range(0, Rows).Select(i => i * 37 % Vocabulary).ToArray();
        using var ids = Tensor.From(values, Shape.Of(Rows));
        using var peerIds = torch.tensor(values.Select(id => (long)id).ToArray(), [Rows]);
        using var scale = Tensor.From([1f / Rows], Shape.Scalar);
        OpInput logits = new(Shape.Of(Rows, Vocabulary)), table = new(Shape.Of(Vocabulary, Width));
        OpInput hidden = new(Shape.Of(Rows, Width)), frozen = new(Shape.Of(Vocabulary, Width), Trained: false);
        ops.Run(
            $"embedding, {Rows} ids, {Vocabulary} x {Width}", [table], x => x[0].Embedding(ids),
            x => x[0].index_select(0, peerIds));
        // The engine's loss consumes its logits, so that both sides make them by a product with 1.
        ops.Run(
            $"scaled cross entropy, {Rows} x {Vocabulary}", [logits], x => x[0].Scale(1).CrossEntropy(ids, scale),
            x => F.cross_entropy(x[0] * 1f, peerIds));
        ops.Run(
            $"linear and cross entropy, {Rows} x {Width} x {Vocabulary}", [hidden, frozen],
            x => x[0].LinearCrossEntropy(x[1], ids, scale), x => F.cross_entropy(F.linear(x[0], x[1]), peerIds));
        ops.Run(
            $"log-probability of a label, {Rows} x {Vocabulary}", [logits], x => x[0].GatherLogProbs(ids),
            x => F.log_softmax(x[0], -1).gather(1, peerIds.unsqueeze(1)).squeeze(1));
    }
}
