using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Elementwise product.</summary>
[Traffic(Forward = 3, Backward = 6)]
public class MulBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Mul(Z);
}
