using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>Rows of a table by id. The gradient is a scatter-add in the order of the tokens.</summary>
    /// <param name="table">(vocabulary, n), F32.</param>
    /// <param name="ids">(...), I32, each below the vocabulary.</param>
    /// <returns>(..., n).</returns>
    public static Tensor Embedding(this Tensor table, Tensor ids)
    {
        Tensor.RequireFloat("embedding", table);
        if (table.Shape.Rank != 2 || ids.DType != DType.I32)
            throw new ArgumentException(
                $"[embedding] table must be a matrix and ids I32, but got table {table.Shape}, ids {ids.DType} {ids.Shape}");
        foreach (var id in ids.Span<int>())
        {
            if ((uint)id >= (uint)table.Shape[0])
                throw new ArgumentException($"[embedding] ids must be below {table.Shape[0]}, but got {id}");
        }
        return new EmbeddingOp(table, ids).Run(ids.Shape.Append(table.Shape[1]));
    }
}

internal sealed unsafe class EmbeddingOp : Op
{
    private readonly Tensor table;
    private readonly Tensor ids;

    public EmbeddingOp(Tensor table, Tensor ids)
        : base("embedding", table)
    {
        (this.table, this.ids) = (table, ids);
        Save(ids);
    }

    protected override void ForwardCpu(Tensor y) =>
        EmbeddingKernel.Forward(
            table.Pointer<float>(), ids.Pointer<int>(), y.Pointer<float>(), (int)ids.Count, table.Shape[1]);

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var g = GradOf(table, out var add);
        EmbeddingKernel.Backward(
            dy.Pointer<float>(), ids.Pointer<int>(), g.Pointer<float>(), (int)ids.Count, table.Shape[0], table.Shape[1],
            add);
    }
}
