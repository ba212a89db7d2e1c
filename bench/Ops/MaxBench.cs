using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Maximum of each row.</summary>
[Traffic(Forward = 1, Backward = 1)]
public class MaxBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Max(^1);
}
