using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>A view; the gradient of a leaf is one copy.</summary>
[Traffic(Forward = 0, Backward = 2)]
public class ReshapeBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Reshape(Shape.Of(Columns, Rows));
}
