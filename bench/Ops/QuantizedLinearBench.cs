using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>A frozen 4-bit linear layer; the difference to LinearBench is the decoding.</summary>
public class QuantizedLinearBench : ProductBench
{
    private QuantizedTensor codes = null!;

    /// <inheritdoc/>
    protected override void Prepare() =>
        codes = QuantizedTensor.Quantize(Weight, new QuantizationOptions { DoubleQuant = true }, "w");

    /// <inheritdoc/>
    protected override Tensor Apply() => X.QuantizedLinear(codes);
}
