using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Product with a constant.</summary>
[Traffic(Forward = 2, Backward = 2)]
public class ScaleBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Scale(0.5f);
}
