using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Dropout with its Philox words drawn twice.</summary>
[Traffic(Forward = 2, Backward = 2)]
public class DropoutBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Dropout(new DropoutMask(0.1f, 1, 2));
}
