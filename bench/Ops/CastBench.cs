using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>F32 to bfloat16; the gradient of a leaf is one copy.</summary>
[Traffic(Forward = 1.5, Backward = 2)]
public class CastBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Cast(DType.BF16);
}
