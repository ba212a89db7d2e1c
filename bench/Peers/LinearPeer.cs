using CudaLora.Engine;
using TorchSharp;
using F = TorchSharp.torch.nn.functional;

namespace CudaLora.Peers;

/// <summary>
/// One LoRA linear, forward and backward: y = x W^T + s (x A^T) B^T with W frozen; gradients of x, A and B.
/// </summary>
internal static class LinearPeer
{
    private const float Scale = 2;

    public static void Run(Contest contest)
    {
        Case(contest, tokens: 1024, size: 1024, rank: 8);
        Case(contest, tokens: 1024, size: 1024, rank: 64);
        Case(contest, tokens: 1024, size: 256, rank: 8);
        Case(contest, tokens: 2048, size: 2048, rank: 16);
        Case(contest, tokens: 64, size: 1024, rank: 8);
    }

    private static void Case(Contest contest, int tokens, int size, int rank)
    {
        var random = new Random(size + tokens + rank);
        var (vx, vdy) = (Uniform(random, tokens * size, 1), Uniform(random, tokens * size, 1));
        var vw = Uniform(random, size * size, 1 / MathF.Sqrt(size));
        var (va, vb) = (Uniform(random, rank * size, 1 / MathF.Sqrt(size)), Uniform(random, size * rank, 0.1f));

        using var x = Leaf(vx, tokens, size, trained: true);
        using var w = Leaf(vw, size, size, trained: false);
        using var a = Leaf(va, rank, size, trained: true);
        using var b = Leaf(vb, size, rank, trained: true);
        using var dy = Leaf(vdy, tokens, size, trained: false);

        using var peerX = torch.tensor(vx, [tokens, size]).requires_grad_();
        using var peerW = torch.tensor(vw, [size, size]);
        using var peerA = torch.tensor(va, [rank, size]).requires_grad_();
        using var peerB = torch.tensor(vb, [size, rank]).requires_grad_();
        using var peerDy = torch.tensor(vdy, [tokens, size]);

        void Ours()
        {
            using var step = TensorScope.Begin();
            x.ZeroGrad();
            a.ZeroGrad();
            b.ZeroGrad();
            x.LoraLinear(w, null, a, b, Scale).Backward(dy);
        }

        void Peer()
        {
            using var scope = torch.NewDisposeScope();
            peerX.grad = null;
            peerA.grad = null;
            peerB.grad = null;
            var y = F.linear(peerX, peerW) + F.linear(F.linear(peerX, peerA), peerB) * Scale;
            y.backward([peerDy]);
        }

        double Difference()
        {
            Ours();
            Peer();
            return new[] { (x, peerX), (a, peerA), (b, peerB) }.Max(pair => Distance(pair.Item1, pair.Item2));
        }

        // Gradients of A and B are sums over the tokens and reach the hundreds.
        var flops = tokens * (double)size * (4.0 * size + 12.0 * rank);
        contest.Run(
            "linear", $"{tokens} tokens, {size} x {size}, r {rank}", Ours, Peer, Difference, 2e-3, Work.Flops(flops));
    }

    private static double Distance(Tensor ours, torch.Tensor peer)
    {
        using var grad = peer.grad!;
        var expected = grad.data<float>();
        return ours.Grad!.ToArray().Select((value, i) => (double)Math.Abs(value - expected[i])).Max();
    }

    private static Tensor Leaf(float[] values, int rows, int columns, bool trained)
    {
        var tensor = Tensor.From(values, Shape.Of(rows, columns));
        tensor.RequiresGrad = trained;
        return tensor;
    }

    private static float[] Uniform(Random random, int count, float scale)
    {
        var values = new float[count];
        for (var i = 0; i < count; i++)
            values[i] = (random.NextSingle() * 2 - 1) * scale;
        return values;
    }
}
