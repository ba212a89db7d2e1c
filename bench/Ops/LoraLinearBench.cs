using BenchmarkDotNet.Attributes;
using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>
/// A frozen linear layer with a trained adapter; what it adds to LinearBench is LoRA's cost. The CPU has one strategy:
/// the composed methods are what it saves. The strategies of a CUDA device are timed by the gpu mode, over the same
/// grid.
/// </summary>
public class LoraLinearBench : ProductBench
{
    private const float Scale = 2;
    private const double MostFlops = 1e11;
    private Tensor a = null!;
    private Tensor b = null!;

    /// <summary>One size with its rank.</summary>
    public sealed record LoraSize(int Rows, int In, int Out, int Rank) : Size(Rows, In, Out)
    {
        /// <inheritdoc/>
        public override string ToString() => $"{Rows}x{In}->{Out} r{Rank}";

        // Backward has two more pairs of thin products: dS and dx, dA and dB.
        private protected override Work Of(int products, double bytes)
        {
            var thin = 2.0 * Rows * Rank * (In + Out);
            return new Work(
                (products * Flops) + (((2 * products) - 1) * thin),
                bytes + (products * 4.0 * Rank * (In + Out)), Rows);
        }
    }

    /// <summary>A few sizes, or with --full those of <see cref="LoraGrid"/> that end in about a second.</summary>
    public static new IEnumerable<LoraSize> Sizes => BenchArguments.Full
        ? LoraGrid.All.Where(size => size.Flops <= MostFlops)
        : [
            new(512, 1024, 1024, 16), new(512, 1024, 1024, 4), new(512, 1024, 1024, 64),
            new(1024, 256, 768, 8), new(2048, 2048, 2048, 16), new(16, 4096, 4096, 16), new(1, 1024, 1024, 16),
        ];

    /// <summary>Forward of the same from its parts.</summary>
    [Benchmark]
    public void ComposedForward()
    {
        using var scope = TensorScope.Begin();
        using var mode = GradMode.NoGrad();
        Composed();
    }

    /// <summary>The same from its parts, with gradients.</summary>
    [Benchmark]
    public void ComposedForwardBackward() => RunBackward(Composed);

    /// <inheritdoc/>
    protected override void Prepare()
    {
        var rank = ((LoraSize)Case).Rank;
        a = Random(4, Shape.Of(rank, Case.In), true);
        b = Random(5, Shape.Of(Case.Out, rank), true);
    }

    /// <inheritdoc/>
    protected override void ZeroGrad()
    {
        a.ZeroGrad();
        b.ZeroGrad();
    }

    /// <inheritdoc/>
    protected override Tensor Apply() => X.LoraLinear(Weight, null, a, b, Scale);

    private Tensor Composed() => X.Linear(Weight).Add(X.Linear(a).Linear(b).Scale(Scale));
}
