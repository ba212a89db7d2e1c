using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Log-softmax over 1024 columns.</summary>
[Traffic(Forward = 2, Backward = 3)]
public class LogSoftmaxBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.LogSoftmax();
}
