using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>The same product through the batched matrix product.</summary>
public class MatMulBench : ProductBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.MatMul(Weight, transposeB: true);
}
