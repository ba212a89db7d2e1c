using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>RMSNorm with a frozen weight, as in LoRA.</summary>
[Traffic(Forward = 2, Backward = 3)]
public class RmsNormBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.RmsNorm(Weight, 1e-6f);
}
