using CudaLora.Kernels.Runtime;
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
        // What a device holds is not read back.
        if (ids.Device.Kind == DeviceKind.Cpu)
            CheckIds(ids.Span<int>(), table.Shape[0]);
        return new EmbeddingOp(table, ids).Run(ids.Shape.Append(table.Shape[1]));
    }

    private static void CheckIds(ReadOnlySpan<int> ids, int vocabulary)
    {
        foreach (var id in ids)
        {
            if ((uint)id >= (uint)vocabulary)
                throw new ArgumentException($"[embedding] ids must be below {vocabulary}, but got {id}");
        }
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

    protected override void ForwardCuda(Tensor y) => Kernels.Ops.Embedding.Forward(
        Stream(y),
        new(table.DeviceAddress, ids.OnDevice<int>(), y.DeviceAddress, (int)ids.Count, table.Shape[1]),
        table.DType == DType.BF16, y.DType == DType.BF16);

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var g = GradOf(table, out var add);
        var order = dy.Device.Rent(ids.Count * sizeof(int));
        var rows = new DevicePointer<int>(order.DeviceAddress);
        Kernels.Ops.Embedding.Order(Stream(dy), new(ids.OnDevice<int>(), rows, (int)ids.Count));
        // The kernel leaves rows alone that no id names.
        if (!add)
            g.Clear();
        Kernels.Ops.Embedding.Backward(
            Stream(dy),
            new(
                dy.DeviceAddress, ids.OnDevice<int>(), rows, g.DeviceAddress, (int)ids.Count, table.Shape[1],
                add ? 1 : 0),
            dy.DType == DType.BF16, g.DType == DType.BF16);
        order.Release();
    }
}
