using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Sum over the rows.</summary>
[Traffic(Forward = 1, Backward = 1)]
public class SumBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Sum(0);
}
