using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>A frozen linear layer.</summary>
public class LinearBench : ProductBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Linear(Weight);
}
