using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Matrix transpose.</summary>
[Traffic(Forward = 2, Backward = 2)]
public class PermuteBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Permute(1, 0);
}
