using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>A frozen 4-bit linear layer with a trained adapter of rank 16: QLoRA's layer.</summary>
public class QuantizedLoraLinearBench : ProductBench
{
    private const int Rank = 16;
    private QuantizedTensor codes = null!;
    private Tensor a = null!;
    private Tensor b = null!;

    /// <inheritdoc/>
    protected override void Prepare()
    {
        codes = QuantizedTensor.Quantize(Weight, new QuantizationOptions { DoubleQuant = true }, "w");
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
    protected override Tensor Apply() => X.LoraLinear(codes, null, a, b, 2f);
}
