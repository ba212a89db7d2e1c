using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Softmax over 1024 columns.</summary>
[Traffic(Forward = 2, Backward = 3)]
public class SoftmaxBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Softmax();
}
