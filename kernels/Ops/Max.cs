using System.Runtime.InteropServices;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Max.ptx (f32) and MaxBf16.ptx: maximum over one axis of an array seen as (outer, axis, inner), where it occurs
/// first, and the gradient.
/// </summary>
public static class Max
{
    /// <summary>x (rows, cols), y and at (rows), either 0 when not wanted.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct RowsArgs(ulong X, ulong Y, ulong At, int Cols);

    /// <summary>x (outer, rows, cols), y and at (outer, cols), either 0 when not wanted; Cells is outer cols.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct ColumnsArgs(ulong X, ulong Y, ulong At, int Cells, int Rows, int Cols);

    /// <summary>dy, at (outer, cols), dx (outer, rows, cols); Cells is outer cols. Accumulate 1 adds to dx.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct BackwardArgs(
        ulong Dy, ulong At, ulong Dx, int Cells, int Rows, int Cols, int Accumulate);

    /// <summary>
    /// Queues y (outer, inner) = max of x over axis and at (i32) = its first index; NaN counts as largest. An address
    /// of 0 leaves y or at out. The axis is not empty.
    /// </summary>
    public static void Axis(
        CudaStream stream, ulong x, int outer, int axis, int inner, ulong y, ulong at, bool bf16)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(axis, 1);
        long cells = (long)outer * inner;
        if (cells == 0) return;
        if (inner == 1)
        {
            Kernel<RowsArgs>(stream, bf16, "max_rows_f32", "max_rows_bf16")
                .Launch(stream, new(outer, Pointwise.Block), new(x, y, at, axis));
            return;
        }
        Kernel<ColumnsArgs>(stream, bf16, "max_columns_f32", "max_columns_bf16")
            .Launch(stream, Pointwise.Grid(cells), new(x, y, at, checked((int)cells), axis, inner));
    }

    /// <summary>Queues dx (+)= dy where the maximum was, zero elsewhere.</summary>
    public static void AxisBackward(
        CudaStream stream, ulong dy, ulong at, int outer, int axis, int inner, ulong dx, bool accumulate, bool bf16)
    {
        long cells = (long)outer * inner;
        if (cells == 0) return;
        if (!accumulate) stream.Zero(new DevicePointer<byte>(dx), cells * axis * (bf16 ? 2 : 4));
        Kernel<BackwardArgs>(stream, bf16, "max_backward_f32", "max_backward_bf16").Launch(
            stream, Pointwise.Grid(cells),
            new(dy, at, dx, checked((int)cells), axis, inner, Pointwise.Flag(accumulate)));
    }

    // Whole names, so that a launch builds no string.
    private static Kernel<TArgs> Kernel<TArgs>(CudaStream stream, bool bf16, string single, string half)
        where TArgs : unmanaged =>
        stream.Context.Modules.Kernel<TArgs>(bf16 ? "MaxBf16" : "Max", bf16 ? half : single);
}
