using BenchmarkDotNet.Attributes;
using CudaLora.Engine;

namespace CudaLora.Bench.Steps;

/// <summary>One AdamW step and the gradients' norm; moments in F32 and in eight bits.</summary>
[Config(typeof(BenchConfig))]
public class OptimizerBench
{
    private readonly List<Parameter> parameters = [];
    private AdamW wide = null!;
    private AdamW narrow = null!;

    /// <summary>Tensors and their size.</summary>
    public sealed record Tensors(int Count, int Rows, int Columns) : IWork
    {
        // Blocks of 256 codes have a scale each; 14 operations a value.
        Work IWork.Of(string method)
        {
            var values = (double)Count * Rows * Columns;
            return method switch
            {
                nameof(GradientNorm) => new Work(2 * values, 4 * values),
                nameof(EightBit) => new Work(14 * values, values * (12 + (4 * (1 + (4 / 256.0))))),
                // Value and both moments read and written, the gradient read.
                _ => new Work(14 * values, 28 * values),
            };
        }

        /// <inheritdoc/>
        public override string ToString() => $"{Count} x {Rows}x{Columns}";
    }

    /// <summary>A large tensor, and an adapter's many small ones.</summary>
    public static IEnumerable<Tensors> Sizes => BenchArguments.Full
        ? [new(1, 2048, 2048), new(56, 8, 1024), new(224, 16, 4096), new(8, 4096, 4096)]
        : [new(1, 2048, 2048), new(56, 8, 1024)];

    /// <summary>The tensors.</summary>
    [ParamsSource(nameof(Sizes))]
    public Tensors Case { get; set; } = null!;

    /// <summary>Makes values and gradients.</summary>
    [GlobalSetup]
    public void Setup()
    {
        var shape = Shape.Of(Case.Rows, Case.Columns);
        for (var i = 0; i < Case.Count; i++)
        {
            var parameter = new Parameter(new ParameterPath($"p{i}"), Random(i, shape)) { Trainable = true };
            using var seed = Random(~i, shape);
            using var scope = TensorScope.Begin();
            parameter.Value.Scale(1).Backward(seed);
            parameters.Add(parameter);
        }
        ParameterGroup[] groups = [new(parameters, learningRate: 1e-4, weightDecay: 0.01)];
        (wide, narrow) = (new AdamW(groups), new AdamW(groups, eightBit: true));
    }

    /// <summary>Releases them.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        wide.Dispose();
        narrow.Dispose();
        parameters.ForEach(parameter => parameter.Dispose());
        parameters.Clear();
    }

    /// <summary>Moments in F32.</summary>
    [Benchmark(Baseline = true)]
    public void F32() => wide.Step();

    /// <summary>Moments as 8-bit codes, where a tensor has 4096 values.</summary>
    [Benchmark]
    public void EightBit() => narrow.Step();

    /// <summary>What clipping reads.</summary>
    [Benchmark]
    public double GradientNorm() => GradientClip.Norm(wide.Groups);

    private static Tensor Random(int seed, Shape shape)
    {
        var random = new Random(seed);
        var tensor = Tensor.Owned(shape);
        foreach (ref var value in tensor.Span<float>())
            value = (random.NextSingle() - 0.5f) * 0.01f;
        return tensor;
    }
}
