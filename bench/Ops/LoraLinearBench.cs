using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>
/// A frozen linear layer with a trained adapter of rank 16; what it adds to LinearBench is LoRA's cost.
/// </summary>
public class LoraLinearBench : ProductBench
{
    private const int Rank = 16;
    private Tensor a = null!;
    private Tensor b = null!;

    /// <inheritdoc/>
    protected override void Prepare()
    {
        a = Random(4, Shape.Of(Rank, Case.In), true);
        b = Random(5, Shape.Of(Case.Out, Rank), true);
    }

    /// <inheritdoc/>
    protected override void ZeroGrad()
    {
        a.ZeroGrad();
        b.ZeroGrad();
    }

    /// <inheritdoc/>
    protected override Tensor Apply() => X.LoraLinear(Weight, null, a, b, 2f);
}
