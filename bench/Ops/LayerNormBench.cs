using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>LayerNorm with a frozen weight, as in LoRA.</summary>
[Traffic(Forward = 2, Backward = 3)]
public class LayerNormBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.LayerNorm(Weight, null, 1e-5f);
}
