using BenchmarkDotNet.Attributes;
using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>One op on (2048, 1024) F32, 8 MiB per tensor: forward alone, and forward with backward.</summary>
[Config(typeof(BenchConfig))]
public abstract class OpBench
{
    /// <summary>Tokens.</summary>
    public const int Rows = 2048;

    /// <summary>Channels.</summary>
    public const int Columns = 1024;

    private Tensor? seed;

    /// <summary>Trainable input (Rows, Columns).</summary>
    protected Tensor X { get; private set; } = null!;

    /// <summary>A second trainable input (Rows, Columns), away from zero.</summary>
    protected Tensor Z { get; private set; } = null!;

    /// <summary>A frozen weight (Columns).</summary>
    protected Tensor Weight { get; private set; } = null!;

    /// <summary>Ids below Columns, one per row (Rows).</summary>
    protected Tensor Ids { get; private set; } = null!;

    /// <summary>Makes the inputs and warms the pool.</summary>
    [GlobalSetup]
    public void Setup()
    {
        X = Random(1, Shape.Of(Rows, Columns), -1, true);
        Z = Random(2, Shape.Of(Rows, Columns), 0.5f, true);
        Weight = Random(3, Shape.Of(Columns), 0.5f, false);
        var ids = new int[Rows];
        for (var i = 0; i < Rows; i++)
            ids[i] = i * 37 % Columns;
        Ids = Tensor.From(ids, Shape.Of(Rows));
        Prepare();
        using var scope = TensorScope.Begin();
        seed = Random(4, Apply().Shape, -1, false);
        scope.Keep(seed);
    }

    /// <summary>The op without a graph.</summary>
    [Benchmark]
    public void Forward()
    {
        using var scope = TensorScope.Begin();
        using var mode = GradMode.NoGrad();
        Apply();
    }

    /// <summary>The op, then its gradients, overwritten each time.</summary>
    [Benchmark]
    public void ForwardBackward()
    {
        X.ZeroGrad();
        Z.ZeroGrad();
        using var scope = TensorScope.Begin();
        Apply().Backward(seed);
    }

    /// <summary>The op under test.</summary>
    protected abstract Tensor Apply();

    /// <summary>Makes what an op needs besides.</summary>
    protected virtual void Prepare()
    {
    }

    private static Tensor Random(int seed, Shape shape, float low, bool trainable)
    {
        var random = new Random(seed);
        var tensor = Tensor.Empty(shape);
        foreach (ref var v in tensor.Span<float>())
            v = low + random.NextSingle();
        tensor.RequiresGrad = trainable;
        return tensor;
    }
}
