namespace CudaLora.Kernels.Emulator;

/// <summary>A decoded tensor map. Strides in bytes; swizzle 0 none, 1, 2, 3 for 32, 64, 128 bytes.</summary>
internal sealed class TensorMapFields
{
    public ulong Address { get; private set; }

    public int Rank { get; private set; }

    public int ElementSize { get; private set; }

    public int Swizzle { get; private set; }

    /// <summary>The map gives pixels of a convolution's input, not tiles.</summary>
    public bool IsIm2Col { get; private set; }

    public long[] Extents { get; } = new long[5];

    public long[] Strides { get; } = new long[5];

    public int[] Box { get; } = new int[5];

    /// <summary>First and last pixel of an im2col box, from the tensor's first and last.</summary>
    public int[] Lower { get; } = new int[3];

    public int[] Upper { get; } = new int[3];

    /// <summary>Pixels that an im2col copy takes.</summary>
    public int Pixels { get; set; }

    public int RowBytes => Box[0] * ElementSize;

    /// <summary>Rows of a copy in shared memory.</summary>
    public int Rows
    {
        get
        {
            if (IsIm2Col) return Pixels;
            int rows = 1;
            for (int d = 1; d < Rank; d++) rows *= Box[d];
            return rows;
        }
    }

    public void Start(ulong address, int rank, int elementSize, int swizzle, bool im2Col) =>
        (Address, Rank, ElementSize, Swizzle, IsIm2Col) = (address, rank, elementSize, swizzle, im2Col);

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
        return Inner(address, start[0]);
    }

    /// <summary>
    /// The same for pixel <paramref name="row"/> of an im2col copy: that many pixels on from the start, W fastest,
    /// inside the box, and then moved by the offsets.
    /// </summary>
    public (ulong Address, int First, int Length) Pixel(int row, ReadOnlySpan<int> start, ReadOnlySpan<int> offsets)
    {
        ulong address = Address;
        long carry = row;
        for (int d = 1; d < Rank - 1; d++)
        {
            long width = Extents[d] + Upper[d - 1] - Lower[d - 1], place = start[d] - Lower[d - 1] + carry;
            carry = place / width;
            long index = Lower[d - 1] + (place % width) + offsets[d - 1];
            if (index < 0 || index >= Extents[d]) address = 0;
            if (address != 0) address += (ulong)(index * Strides[d]);
        }
        long image = start[Rank - 1] + carry;
        if (address == 0 || image < 0 || image >= Extents[Rank - 1]) return (0, 0, 0);
        return Inner(address + (ulong)(image * Strides[Rank - 1]), start[0]);
    }

    /// <summary>The dimension whose start lies outside an im2col box of pixels; -1 when none does.</summary>
    public int OutsideBox(ReadOnlySpan<int> start)
    {
        for (int d = 1; d < Rank - 1; d++)
        {
            if (start[d] < Lower[d - 1] || start[d] >= Extents[d] + Upper[d - 1]) return d;
        }
        return -1;
    }

    private (ulong Address, int First, int Length) Inner(ulong address, int start)
    {
        long low = Math.Max(start, 0), high = Math.Min(start + (long)Box[0], Extents[0]);
        if (high <= low) return (0, 0, 0);
        return (address + (ulong)(low * ElementSize), (int)(low - start) * ElementSize,
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
