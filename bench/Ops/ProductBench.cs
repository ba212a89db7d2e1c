using BenchmarkDotNet.Attributes;
using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>
/// A matrix product as an engine op: forward alone, and forward with the gradient of x. The weight is frozen, as in
/// LoRA: its product and its bytes are counted, once forward and once more for the gradient.
/// </summary>
[Config(typeof(BenchConfig))]
public abstract class ProductBench
{
    private Tensor? seed;

    /// <summary>One size: x (M, in), weight (out, in).</summary>
    public record Size(int Rows, int In, int Out) : IWork
    {
        /// <summary>Operations of the product itself.</summary>
        public double Flops => 2.0 * Rows * In * Out;

        /// <summary>Backward reads dy and the weight and writes dx.</summary>
        Work IWork.Of(string method)
        {
            var times = method.EndsWith("Backward", StringComparison.Ordinal) ? 2 : 1;
            return Of(times, times * sizeof(float) * (((double)In * Out) + ((double)Rows * (In + Out))));
        }

        /// <summary>So many products of this size and bytes, and what comes on top.</summary>
        private protected virtual Work Of(int products, double bytes) => new(products * Flops, bytes, Rows);

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
    public void ForwardBackward() => RunBackward(Apply);

    /// <summary>The gradients of what <paramref name="apply"/> makes.</summary>
    protected void RunBackward(Func<Tensor> apply)
    {
        X.ZeroGrad();
        ZeroGrad();
        using var scope = TensorScope.Begin();
        apply().Backward(seed);
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
