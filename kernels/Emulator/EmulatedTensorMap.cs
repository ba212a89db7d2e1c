using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// The emulator's own tensor maps: plain fields in the 128 bytes. Words: 0 mark, 1 address, 2 rank | type | swizzle
/// (a byte each), 3..7 extents, 8..11 byte strides of dimensions 1..4, 12..14 box extents (two to a word).
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

    internal static unsafe bool TryDecode(byte* bytes, out TensorMapFields fields)
    {
        ulong* w = (ulong*)bytes;
        fields = default!;
        if (w[0] != Mark) return false;
        int rank = (int)(w[2] & 255);
        long[] dims = new long[rank], strides = new long[rank];
        int[] box = new int[rank];
        var type = (TensorMapType)(w[2] >> 8 & 255);
        for (int d = 0; d < rank; d++)
        {
            dims[d] = (long)w[3 + d];
            strides[d] = d == 0 ? ElementSize(type) : (long)w[7 + d];
            box[d] = (int)(w[12 + (d / 2)] >> (32 * (d & 1)));
        }
        fields = new TensorMapFields(w[1], ElementSize(type), (int)(w[2] >> 16 & 255), dims, strides, box);
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

/// <summary>A decoded tensor map. Strides in bytes; swizzle 0 none, 1, 2, 3 for 32, 64, 128 bytes.</summary>
internal sealed record TensorMapFields(ulong Address, int ElementSize, int Swizzle, long[] Extents, long[] Strides,
    int[] Box)
{
    public int Rank => Extents.Length;

    public int RowBytes => Box[0] * ElementSize;

    public int Rows
    {
        get
        {
            int rows = 1;
            for (int d = 1; d < Rank; d++) rows *= Box[d];
            return rows;
        }
    }

    public int Bytes => Rows * RowBytes;

    /// <summary>
    /// The part of box row <paramref name="row"/> that lies inside the tensor: where it starts in global memory, its
    /// first byte within the row and its length (0 when the row is outside).
    /// </summary>
    public (ulong Address, int First, int Length) Row(int row, ReadOnlySpan<int> start)
    {
        ulong address = Address;
        for (int d = 1; d < Rank; d++)
        {
            long index = start[d] + (row % Box[d]);
            row /= Box[d];
            if (index < 0 || index >= Extents[d]) return (0, 0, 0);
            address += (ulong)(index * Strides[d]);
        }
        long low = Math.Max(start[0], 0), high = Math.Min(start[0] + (long)Box[0], Extents[0]);
        if (high <= low) return (0, 0, 0);
        return (address + (ulong)(low * ElementSize), (int)(low - start[0]) * ElementSize,
            (int)(high - low) * ElementSize);
    }
}

/// <summary>The permutation of 16-byte units that TMA and wgmma apply to shared addresses.</summary>
internal static class Swizzle
{
    /// <summary>Mode 0 none; 1, 2, 3: bits 4.. are xored with bits 7.. over a span of 32, 64, 128 bytes.</summary>
    public static uint Apply(uint address, int mode) => mode == 0 ? address
        : address ^ (((address >> 7) & ((1u << mode) - 1)) << 4);
}
