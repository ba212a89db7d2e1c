using BenchmarkDotNet.Attributes;
using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>
/// A matrix product as an engine op: forward alone, and forward with the gradient of x. The weight is frozen, as in
/// LoRA. GFLOP/s counts the base product's 2 M in out once per method, so the second row reads at most half the first.
/// </summary>
[Config(typeof(RateConfig))]
public abstract class ProductBench
{
    private Tensor? seed;

    /// <summary>One size: x (M, in), weight (out, in).</summary>
    public sealed record Size(int Rows, int In, int Out) : IWork
    {
        /// <inheritdoc/>
        public double Flops => 2.0 * Rows * In * Out;

        /// <inheritdoc/>
        public override string ToString() => $"{Rows}x{In}->{Out}";
    }

    /// <summary>A training step's projections, a small model's, and one decoded token.</summary>
    public static IEnumerable<Size> Sizes => [new(512, 1024, 1024), new(1024, 256, 768), new(1, 1024, 1024)];

    /// <summary>The size measured.</summary>
    [ParamsSource(nameof(Sizes))]
    public Size Case { get; set; } = null!;

    /// <summary>Input (M, in), trainable.</summary>
    protected Tensor X { get; private set; } = null!;

    /// <summary>Weight (out, in), frozen.</summary>
    protected Tensor Weight { get; private set; } = null!;

    /// <summary>Makes the inputs and warms the pool.</summary>
    [GlobalSetup]
    public void Setup()
    {
        X = Random(1, Shape.Of(Case.Rows, Case.In), true);
        Weight = Random(2, Shape.Of(Case.Out, Case.In), false);
        Prepare();
        using var scope = TensorScope.Begin();
        seed = Random(3, Apply().Shape, false);
        scope.Keep(seed);
    }

    /// <summary>The op without a graph.</summary>
    [Benchmark(Baseline = true)]
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
        ZeroGrad();
        using var scope = TensorScope.Begin();
        Apply().Backward(seed);
    }

    /// <summary>The op under test.</summary>
    protected abstract Tensor Apply();

    /// <summary>Makes what an op needs besides.</summary>
    protected virtual void Prepare()
    {
    }

    /// <summary>Marks the gradients of further inputs as zero.</summary>
    protected virtual void ZeroGrad()
    {
    }

    /// <summary>Uniform values in [-0.5, 0.5).</summary>
    protected static Tensor Random(int seed, Shape shape, bool trainable)
    {
        var random = new Random(seed);
        var tensor = Tensor.Empty(shape);
        foreach (ref var v in tensor.Span<float>())
            v = random.NextSingle() - 0.5f;
        tensor.RequiresGrad = trainable;
        return tensor;
    }
}
