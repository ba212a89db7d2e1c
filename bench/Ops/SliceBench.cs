using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>The left half of each row.</summary>
[Traffic(Forward = 1, Backward = 1.5)]
public class SliceBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Slice(1, 0, Columns / 2);
}
