using CudaLora.Engine;
using TorchSharp;

namespace CudaLora.Peers;

/// <summary>An input of both sides: uniform values of width 1 above <paramref name="Low"/>.</summary>
internal sealed record OpInput(Shape Shape, bool Trained = true, float Low = -0.5f);

/// <summary>
/// One op on both sides from the same inputs: forward without a graph, and forward with the gradients of all trained
/// inputs. Results and gradients are compared.
/// </summary>
internal sealed class OpContest(Contest contest, string group)
{
    /// <param name="name">Row of the table; the method is added to it.</param>
    /// <param name="inputs">Shapes of the inputs.</param>
    /// <param name="ours">The op of the engine.</param>
    /// <param name="peer">The same with torch.</param>
    /// <param name="tolerance">Largest distance, over the largest value of a tensor where that is above 1.</param>
    /// <param name="backward">Whether there is a gradient.</param>
    /// <param name="distance">Compares results instead of element by element, where that makes no sense.</param>
    public void Run(
        string name, OpInput[] inputs, Func<Tensor[], Tensor> ours, Func<torch.Tensor[], torch.Tensor> peer,
        double tolerance = 1e-5, bool backward = true, Func<float[], float[], double>? distance = null)
    {
        var random = new Random(inputs.Length);
        var values = inputs.Select(input => Values(random, input)).ToArray();
        var mine = inputs.Zip(values, (input, v) => Leaf(v, input)).ToArray();
        var theirs = inputs.Zip(values, (input, v) => PeerLeaf(v, input)).ToArray();
        distance ??= Distance;

        void Forward()
        {
            using var scope = TensorScope.Begin();
            using var mode = GradMode.NoGrad();
            ours(mine);
        }

        void PeerForward()
        {
            using var scope = torch.NewDisposeScope();
            using var mode = torch.no_grad();
            peer(theirs);
        }

        double Results()
        {
            using var scope = TensorScope.Begin();
            using var peerScope = torch.NewDisposeScope();
            using var mode = GradMode.NoGrad();
            return distance(ours(mine).ToArray(), peer(theirs).data<float>().ToArray());
        }

        contest.Run(group, $"{name}, forward", Forward, PeerForward, Results, tolerance);
        if (backward && inputs.Any(input => input.Trained))
            Backward(name, random, mine, theirs, ours, peer, tolerance, distance);
        foreach (var tensor in mine)
            tensor.Dispose();
        foreach (var tensor in theirs)
            tensor.Dispose();
    }

    /// <summary>As torch writes a shape.</summary>
    public static long[] Extents(Shape shape) => [.. Enumerable.Range(0, shape.Rank).Select(axis => (long)shape[axis])];

    private void Backward(
        string name, Random random, Tensor[] mine, torch.Tensor[] theirs, Func<Tensor[], Tensor> ours,
        Func<torch.Tensor[], torch.Tensor> peer, double tolerance, Func<float[], float[], double> distance)
    {
        Shape result;
        using (TensorScope.Begin())
            result = ours(mine).Shape;
        var values = Values(random, new OpInput(result));
        using var seed = Tensor.From(values, result);
        using var peerSeed = torch.tensor(values, Extents(result));

        void Both()
        {
            using var scope = TensorScope.Begin();
            foreach (var input in mine)
                input.ZeroGrad();
            ours(mine).Backward(seed);
        }

        void PeerBoth()
        {
            using var scope = torch.NewDisposeScope();
            foreach (var input in theirs)
                input.grad = null;
            peer(theirs).backward([peerSeed]);
        }

        double Gradients()
        {
            Both();
            PeerBoth();
            using var scope = torch.NewDisposeScope();
            return mine.Zip(theirs).Where(pair => pair.First.RequiresGrad).Max(
                pair => distance(pair.First.Grad!.ToArray(), pair.Second.grad!.data<float>().ToArray()));
        }

        contest.Run(group, $"{name}, forward and backward", Both, PeerBoth, Gradients, tolerance);
    }

    private static double Distance(float[] ours, float[] peer)
    {
        var largest = peer.Max(Math.Abs);
        // Two results of zeros would agree without having computed anything.
        return ours.Length == peer.Length && largest > 1e-6f
            ? ours.Zip(peer, (a, b) => (double)Math.Abs(a - b)).Max() / Math.Max(1, largest)
            : double.NaN;
    }

    private static float[] Values(Random random, OpInput input)
    {
        var values = new float[input.Shape.Count];
        for (var i = 0; i < values.Length; i++)
            values[i] = input.Low + random.NextSingle();
        return values;
    }

    private static Tensor Leaf(float[] values, OpInput input)
    {
        var tensor = Tensor.From(values, input.Shape);
        tensor.RequiresGrad = input.Trained;
        return tensor;
    }

    private static torch.Tensor PeerLeaf(float[] values, OpInput input) =>
        torch.tensor(values, Extents(input.Shape)).requires_grad_(input.Trained);
}
