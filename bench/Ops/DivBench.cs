using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Elementwise quotient.</summary>
[Traffic(Forward = 3, Backward = 10)]
public class DivBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Div(Z);
}
