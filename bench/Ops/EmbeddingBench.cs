using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Rows by id; backward clears the table and adds.</summary>
[Traffic(Forward = 2, Backward = 3)]
public class EmbeddingBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.Embedding(Ids);
}
