using CudaLora.Engine;
using CudaLora.Kernels.Simd;
using Microsoft.ML.OnnxRuntime;

namespace CudaLora.Peers;

/// <summary>
/// A matrix product and the forward pass of a LoRA linear against the same graph in ONNX Runtime. The weights are
/// constants of the graph, which the runtime packs when it loads; they lie as it likes them, (in, out), and B has the
/// scale in it.
/// </summary>
internal static class OnnxPeer
{
    private const float Scale = 2;

    public static void Run(Contest contest)
    {
        OrtEnv.Instance().DisableTelemetryEvents();
        foreach (var (tokens, size) in ((int, int)[])[(512, 512), (1024, 1024), (1, 2048), (16, 2048)])
            Case(contest, tokens, size, 0);
        foreach (var (tokens, size) in ((int, int)[])[(1024, 256), (1024, 1024), (64, 1024), (1, 1024)])
            Case(contest, tokens, size, 8);
    }

    // Without rank the product alone.
    private static void Case(Contest contest, int tokens, int size, int rank)
    {
        var random = new Random(tokens + size + rank);
        var vx = Uniform(random, tokens * size, 1);
        var vw = Uniform(random, size * size, 1 / MathF.Sqrt(size));
        var (va, vb) = (Uniform(random, rank * size, 1 / MathF.Sqrt(size)), Uniform(random, size * rank, 0.1f));
        using var x = Tensor.From(vx, Shape.Of(tokens, size));
        using var w = Tensor.From(vw, Shape.Of(size, size));
        using var a = rank > 0 ? Tensor.From(va, Shape.Of(rank, size)) : null;
        using var b = rank > 0 ? Tensor.From(vb, Shape.Of(size, rank)) : null;

        var result = new float[tokens * size];
        using var options = new SessionOptions { IntraOpNumThreads = Workers.Count, InterOpNumThreads = 1 };
        using var session = new InferenceSession(Graph(tokens, size, rank, vw, va, vb), options);
        using var run = new RunOptions();
        using var input = OrtValue.CreateTensorValueFromMemory(vx, [tokens, size]);
        using var output = OrtValue.CreateTensorValueFromMemory(result, [tokens, size]);

        void Ours()
        {
            using var scope = TensorScope.Begin();
            using var mode = GradMode.NoGrad();
            Apply();
        }

        Tensor Apply() => a is null || b is null ? x.Linear(w) : x.LoraLinear(w, null, a, b, Scale);

        void Peer() => session.Run(run, ["x"], [input], ["y"], [output]);

        double Difference()
        {
            using var scope = TensorScope.Begin();
            using var mode = GradMode.NoGrad();
            Peer();
            return result.Max(Math.Abs) > 0.1f
                ? Apply().ToArray().Zip(result, (p, q) => (double)Math.Abs(p - q)).Max()
                : double.NaN;
        }

        var name = rank > 0 ? $"LoRA linear forward, {tokens} tokens, {size} x {size}, r {rank}"
            : $"y = x W^T, {tokens} tokens, {size} x {size}";
        contest.Run(
            "onnx", name, Ours, Peer, Difference, 1e-4, Work.Flops(2.0 * tokens * size * (size + (2 * rank))));
    }

    private static byte[] Graph(int tokens, int size, int rank, float[] w, float[] a, float[] b)
    {
        var model = new OnnxModel();
        model.Input("x", tokens, size);
        model.Output("y", tokens, size);
        model.Constant("w", size, size, Turned(w, size, size));
        model.Node("MatMul", rank > 0 ? "base" : "y", "x", "w");
        if (rank > 0)
        {
            model.Constant("a", size, rank, Turned(a, rank, size));
            model.Constant("b", rank, size, [.. Turned(b, size, rank).Select(value => Scale * value)]);
            model.Node("MatMul", "s", "x", "a");
            model.Node("MatMul", "added", "s", "b");
            model.Node("Add", "y", "base", "added");
        }
        return model.ToArray();
    }

    private static float[] Turned(float[] values, int rows, int columns)
    {
        var turned = new float[values.Length];
        for (var i = 0; i < rows; i++)
        {
            for (var j = 0; j < columns; j++)
                turned[(j * rows) + i] = values[(i * columns) + j];
        }
        return turned;
    }

    private static float[] Uniform(Random random, int count, float scale)
    {
        var values = new float[count];
        for (var i = 0; i < count; i++)
            values[i] = (random.NextSingle() * 2 - 1) * scale;
        return values;
    }
}
