using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Elementwise difference; one copy and one negated copy.</summary>
[Traffic(Forward = 3, Backward = 4)]
public class SubBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Sub(Z);
}
