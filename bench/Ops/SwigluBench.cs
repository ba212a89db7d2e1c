using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>SwiGLU of two dense halves.</summary>
[Traffic(Forward = 3, Backward = 5)]
public class SwigluBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Swiglu(Z);
}
