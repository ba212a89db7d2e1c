using System.Runtime.CompilerServices;
using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Runtime;

/// <summary>Builds the maps that TMA copies read.</summary>
public static class TensorMaps
{
    /// <summary>
    /// A row-major matrix (rows, cols) with <paramref name="stride"/> elements from row to row, copied in boxes of
    /// (boxRows, boxCols). Reads outside give zeros and still count the whole box's bytes.
    /// </summary>
    /// <exception cref="CudaException">
    /// The address is not 16-byte aligned, the row pitch no multiple of 16 bytes, a box extent above 256, or the box's
    /// row
    /// longer than the swizzle span.
    /// </exception>
    public static TensorMap Encode2D<T>(
        CudaContext context, TensorMapType type, DevicePointer<T> address, int rows, int cols, int stride, int boxRows,
        int boxCols, TensorMapSwizzle swizzle) where T : unmanaged
    {
        ArgumentNullException.ThrowIfNull(context);
        ReadOnlySpan<ulong> dims = [(ulong)cols, (ulong)rows];
        ReadOnlySpan<ulong> strides = [(ulong)stride * (ulong)Unsafe.SizeOf<T>()];
        ReadOnlySpan<uint> box = [(uint)boxCols, (uint)boxRows];
        ReadOnlySpan<uint> steps = [1, 1];
        var spec = new TensorMapSpec(type, address.Address, swizzle, TensorMapPromotion.Bytes128);
        CudaResult result = context.Driver.TensorMapEncodeTiled(out TensorMap map, spec, dims, strides, box, steps);
        context.Check(
            result, "cuTensorMapEncodeTiled",
            result == CudaResult.Success
                ? null
                : $"{type} ({rows}, {cols}) stride {stride} at {address}, box ({boxRows}, {boxCols}), {swizzle}");
        return map;
    }
}
