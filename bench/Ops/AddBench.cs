using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Elementwise sum; the gradient is passed on, one copy per leaf.</summary>
[Traffic(Forward = 3, Backward = 4)]
public class AddBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Add(Z);
}
