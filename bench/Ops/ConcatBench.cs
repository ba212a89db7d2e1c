using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Two matrices side by side.</summary>
[Traffic(Forward = 4, Backward = 4)]
public class ConcatBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => TensorOps.Concat(1, X, Z);
}
