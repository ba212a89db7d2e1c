using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>SiLU.</summary>
[Traffic(Forward = 2, Backward = 3)]
public class SiluBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Silu();
}
