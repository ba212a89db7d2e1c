using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Cross-entropy over 1024 classes, with the copy that spares the leaf from being consumed.</summary>
[Traffic(Forward = 3, Backward = 5)]
public class CrossEntropyBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Scale(1).CrossEntropy(Ids, 1f / Rows);
}
