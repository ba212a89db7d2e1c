using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Ops;

namespace CudaLora.Engine;

// A frozen matrix on a CUDA device whose memory has room beside and below it for an adapter.
public sealed unsafe partial class Tensor
{
    private int pitch; // elements from row to row; 0 while the rows follow each other

    /// <summary>
    /// True while the rows have room behind them, as <see cref="LoraBlockMatrix"/> lays it out: the only place of the
    /// values, not a copy. Ops that cannot read such rows refuse the tensor.
    /// </summary>
    public bool HasAdapterRoom => pitch != 0;

    /// <summary>Elements from row to row of a matrix.</summary>
    internal int RowPitch => pitch == 0 ? Shape[^1] : pitch;

    /// <summary>Address of the first row, of a reader that knows <see cref="RowPitch"/>.</summary>
    internal ulong RowsAddress => (ulong)((byte*)Memory.Pointer + offset);

    /// <summary>
    /// Moves a frozen BF16 matrix on a CUDA device into memory with room for an adapter; its former memory goes back to
    /// the driver. Any other tensor stays as it is, as does one whose rows are no whole units of 16 bytes.
    /// </summary>
    internal void MakeAdapterRoom()
    {
        if (HasAdapterRoom || DType != DType.BF16 || Device is not CudaDevice || Shape.Rank != 2 || RequiresGrad
            || Shape[1] % 8 != 0 || Count == 0)
            return;
        var block = new LoraBlockMatrix(Shape[1], Shape[0]);
        Move(Device.RentExactly(block.Count * sizeof(ushort)), block.InputPitch);
    }

    /// <summary>Undoes <see cref="MakeAdapterRoom"/>.</summary>
    internal void RemoveAdapterRoom()
    {
        if (storage is not null && HasAdapterRoom)
            Move(Device.Rent(ByteCount), 0);
    }

    /// <summary>The values without gaps, in memory the caller releases.</summary>
    internal Storage RentDense()
    {
        var dense = Device.Rent(ByteCount);
        CopyRows(RowsAddress, RowPitch, dense.DeviceAddress, Shape[1]);
        return dense;
    }

    private void Move(Storage to, int newPitch)
    {
        CopyRows(RowsAddress, RowPitch, to.DeviceAddress, newPitch == 0 ? Shape[1] : newPitch);
        // Not to the pool: it would keep what no later block asks for, a second model by the end.
        Device.Discard(Memory);
        (storage, offset, pitch) = (to, 0, newPitch);
    }

    private void CopyRows(ulong from, int fromPitch, ulong to, int toPitch) => LoraPack.Pad(
        ((CudaDevice)Device).Stream, Shape[0], new(from, to, Shape[1], fromPitch, toPitch));

    private Tensor Dense() => new(RentDense(), 0, Shape, DType);

    // By way of a matrix without gaps on this device.
    private void CopyIntoRows(Tensor source)
    {
        using var copy = source.Device == Device ? null : Unscoped(Shape, DType, Device);
        copy?.CopyFrom(source);
        CopyRows((copy ?? source).DeviceAddress, Shape[1], RowsAddress, RowPitch);
    }

    private void ThrowHasRoom() => throw new InvalidOperationException(
        $"[tensor] rows must follow each other, but {this} has room for an adapter between them: take a copy with "
        + "ToArray or OnHost");
}
