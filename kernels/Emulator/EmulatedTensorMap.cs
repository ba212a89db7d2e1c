using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// The emulator's own tensor maps: plain fields in the 128 bytes. Words: 0 mark, 1 address, 2 rank | type | swizzle
/// (a byte each) | im2col, 3..7 extents, 8..11 byte strides of dimensions 1..4, 12..14 box extents (two to a word); for
/// im2col 12 channels and pixels, 13 and 14 the corners of the box of pixels (16 bits each).
/// </summary>
public static class EmulatedTensorMap
{
    private const ulong Mark = 0x50414D_524F5345;

    /// <summary>
    /// Encodes a tiled map as cuTensorMapEncodeTiled does, with its checks. Dimensions are innermost first.
    /// </summary>
    /// <param name="map">The encoded map.</param>
    /// <param name="spec">Type, address (16-byte aligned) and swizzle.</param>
    /// <param name="dims">Extents in elements, 1 to 5 of them.</param>
    /// <param name="strides">Bytes from one index to the next of dimensions 1 and up, multiples of 16.</param>
    /// <param name="box">Box extents in elements, 1 to 256 each.</param>
    /// <param name="elementStrides">Must be 1 in every dimension.</param>
    /// <returns>Success, or InvalidValue as the driver would say.</returns>
    public static CudaResult Encode(out TensorMap map, in TensorMapSpec spec, ReadOnlySpan<ulong> dims,
        ReadOnlySpan<ulong> strides, ReadOnlySpan<uint> box, ReadOnlySpan<uint> elementStrides)
    {
        map = default;
        int rank = dims.Length, size = ElementSize(spec.Type);
        if (rank is < 1 or > 5 || size == 0 || box.Length < rank || strides.Length < rank - 1
            || elementStrides.Length < rank)
            return CudaResult.InvalidValue;
        if ((spec.Address & 15) != 0 || spec.Swizzle is < TensorMapSwizzle.None or > TensorMapSwizzle.Bytes128)
            return CudaResult.InvalidValue;
        for (int d = 0; d < rank; d++)
        {
            if (dims[d] is 0 or > 1ul << 32 || box[d] is 0 or > 256 || elementStrides[d] != 1)
                return CudaResult.InvalidValue;
            if (d > 0 && ((strides[d - 1] & 15) != 0 || strides[d - 1] >= 1ul << 40)) return CudaResult.InvalidValue;
        }
        int inner = (int)box[0] * size;
        if (inner % 16 != 0) return CudaResult.InvalidValue;
        if (spec.Swizzle != TensorMapSwizzle.None && inner > 16 << (int)spec.Swizzle) return CudaResult.InvalidValue;
        map[0] = Mark;
        map[1] = spec.Address;
        map[2] = (uint)rank | ((ulong)(uint)spec.Type << 8) | ((ulong)(uint)spec.Swizzle << 16);
        for (int d = 0; d < rank; d++)
        {
            map[3 + d] = dims[d];
            if (d > 0) map[7 + d] = strides[d - 1];
            map[12 + (d / 2)] |= (ulong)box[d] << (32 * (d & 1));
        }
        return CudaResult.Success;
    }

    /// <summary>
    /// Encodes an im2col map as cuTensorMapEncodeIm2col does: dimensions C, W, (H, (D,)) N, innermost first. A copy
    /// takes <paramref name="pixels"/> pixels, each of <paramref name="channels"/> channels, from the box of pixels
    /// between the corners, W fastest and N slowest.
    /// </summary>
    /// <param name="map">The encoded map.</param>
    /// <param name="spec">Type, address (16-byte aligned) and swizzle.</param>
    /// <param name="dims">Extents in elements, 3 to 5 of them.</param>
    /// <param name="strides">Bytes from one index to the next of dimensions 1 and up, multiples of 16.</param>
    /// <param name="lower">First pixel of the box in W, (H, (D)): an offset from 0, -128 to 127 or less.</param>
    /// <param name="upper">Last pixel of the box, as an offset from the last of the tensor.</param>
    /// <param name="channels">Channels per pixel, at most 256.</param>
    /// <param name="pixels">Pixels per copy, at most 1024.</param>
    /// <param name="elementStrides">Must be 1 in every dimension.</param>
    /// <returns>Success, or InvalidValue as the driver would say.</returns>
    public static CudaResult EncodeIm2Col(out TensorMap map, in TensorMapSpec spec, ReadOnlySpan<ulong> dims,
        ReadOnlySpan<ulong> strides, ReadOnlySpan<int> lower, ReadOnlySpan<int> upper, uint channels, uint pixels,
        ReadOnlySpan<uint> elementStrides)
    {
        map = default;
        int rank = dims.Length;
        if (rank is < 3 or > 5 || lower.Length != rank - 2 || upper.Length != rank - 2 || channels is 0 or > 256
            || pixels is 0 or > 1024)
            return CudaResult.InvalidValue;
        Span<uint> box = stackalloc uint[rank];
        box.Fill(1);
        box[0] = channels;
        CudaResult result = Encode(out map, spec, dims, strides, box, elementStrides);
        if (result != CudaResult.Success) return result;
        // Corners have 16 bits for one spatial dimension, 8 for two, 5 for three.
        int limit = 1 << (rank switch { 3 => 15, 4 => 7, _ => 4 });
        map[2] |= 1ul << 24;
        map[12] = channels | ((ulong)pixels << 32);
        (map[13], map[14]) = (0, 0);
        for (int d = 0; d < rank - 2; d++)
        {
            if (lower[d] < -limit || lower[d] >= limit || upper[d] < -limit || upper[d] >= limit
                || (long)dims[d + 1] + upper[d] <= lower[d])
                return CudaResult.InvalidValue;
            map[13] |= (ulong)(ushort)lower[d] << (16 * d);
            map[14] |= (ulong)(ushort)upper[d] << (16 * d);
        }
        return CudaResult.Success;
    }

    internal static unsafe bool TryDecode(byte* bytes, TensorMapFields fields)
    {
        ulong* w = (ulong*)bytes;
        if (w[0] != Mark) return false;
        int rank = (int)(w[2] & 255);
        var type = (TensorMapType)(w[2] >> 8 & 255);
        int size = ElementSize(type);
        fields.Start(w[1], rank, type, size, (int)(w[2] >> 16 & 255), (w[2] >> 24 & 1) != 0);
        for (int d = 0; d < rank; d++)
        {
            fields.Extents[d] = (long)w[3 + d];
            fields.Strides[d] = d == 0 ? size : (long)w[7 + d];
            fields.Box[d] = (int)(w[12 + (d / 2)] >> (32 * (d & 1)));
        }
        if (!fields.IsIm2Col) return true;
        (fields.Box[0], fields.Pixels) = ((int)(uint)w[12], (int)(w[12] >> 32));
        for (int d = 0; d < rank - 2; d++)
            (fields.Lower[d], fields.Upper[d]) = ((short)(w[13] >> (16 * d)), (short)(w[14] >> (16 * d)));
        return true;
    }

    private static int ElementSize(TensorMapType type) => type switch
    {
        TensorMapType.UInt8 => 1,
        TensorMapType.Float16 or TensorMapType.BFloat16 => 2,
        TensorMapType.Int32 or TensorMapType.Float32 => 4,
        _ => 0,
    };
}
