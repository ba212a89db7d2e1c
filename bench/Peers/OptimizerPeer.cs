using CudaLora.Engine;
using TorchSharp;

namespace CudaLora.Peers;

/// <summary>AdamW on one large tensor, and on the many small ones of an adapter.</summary>
internal static class OptimizerPeer
{
    private const double Rate = 1e-3;
    private const double Decay = 0.01;

    public static void Run(Contest contest)
    {
        Case(contest, "AdamW, 1 tensor of 2048 x 2048", count: 1, rows: 2048, columns: 2048);
        Case(contest, "AdamW, 56 tensors of 8 x 1024", count: 56, rows: 8, columns: 1024);
    }

    private static void Case(Contest contest, string name, int count, int rows, int columns)
    {
        var random = new Random(count);
        var (shape, peerShape) = (Shape.Of(rows, columns), new long[] { rows, columns });
        var parameters = new List<Parameter>();
        var peers = new List<TorchSharp.Modules.Parameter>();
        for (var i = 0; i < count; i++)
        {
            float[] values = Uniform(random, rows * columns), gradient = Uniform(random, rows * columns);
            var parameter = new Parameter(new ParameterPath($"p{i}"), Tensor.From(values, shape)) { Trainable = true };
            using (var seed = Tensor.From(gradient, shape))
            using (TensorScope.Begin())
                parameter.Value.Scale(1).Backward(seed);
            parameters.Add(parameter);
            var peer = new TorchSharp.Modules.Parameter(torch.tensor(values, peerShape));
            peer.grad = torch.tensor(gradient, peerShape);
            peers.Add(peer);
        }
        using var ours = new AdamW(parameters, Rate, Decay);
        using var theirs = torch.optim.AdamW(peers, lr: Rate, weight_decay: Decay);

        void Ours() => ours.Step();

        void Peer()
        {
            using var scope = torch.NewDisposeScope();
            theirs.step();
        }

        double Difference()
        {
            for (var step = 0; step < 3; step++)
            {
                Ours();
                Peer();
            }
            return parameters.Zip(peers).Max(pair => pair.First.Value.ToArray()
                .Zip(pair.Second.data<float>().ToArray(), (a, b) => (double)Math.Abs(a - b)).Max());
        }

        contest.Run("optimizer", name, Ours, Peer, Difference, 1e-5);
        parameters.ForEach(parameter => parameter.Dispose());
        peers.ForEach(parameter => parameter.Dispose());
    }

    private static float[] Uniform(Random random, int count)
    {
        var values = new float[count];
        for (var i = 0; i < count; i++)
            values[i] = random.NextSingle() - 0.5f;
        return values;
    }
}
