using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>A residual addition and the RMSNorm of its sum, with a frozen weight, as in LoRA.</summary>
[Traffic(Forward = 4, Backward = 5)]
public class AddRmsNormBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.AddRmsNorm(Z, Weight, 1e-6f).Norm;
}
