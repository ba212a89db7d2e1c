using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>GELU in its tanh form.</summary>
[Traffic(Forward = 2, Backward = 3)]
public class GeluBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Gelu(tanh: true);
}
