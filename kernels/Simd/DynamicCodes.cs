using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// The search of <see cref="DynamicQuantize.Code"/> as two lookups, for normalised moments: the upper 16 bits of a
/// float give the code of the least value that has them; among those values lies at most one border to the next code.
/// </summary>
internal sealed unsafe class DynamicCodes
{
    // Sign, exponent and 7 bits of the fraction. The borders closest for their size, 0.007 apart just below 1, lie in
    // bins half as wide.
    private const int KeyShift = 16;
    private const int One = 0x3F80;
    private const int Sign = 0x8000;
    private const int Zero = 127;

    private readonly float[] borders = GC.AllocateUninitializedArray<float>(256, pinned: true);
    private readonly byte[] least;

    private DynamicCodes(ReadOnlySpan<float> map, bool signed)
    {
        for (int i = 0; i < 255; i++)
        {
            // x > border is the next code. A tie goes to the even code, so above an odd one the border itself counts.
            float middle = (map[i] + map[i + 1]) * 0.5f;
            borders[i] = i % 2 == 0 ? middle : MathF.BitDecrement(middle);
        }
        borders[255] = float.PositiveInfinity;
        least = GC.AllocateUninitializedArray<byte>((signed ? Sign : 0) + One + 1, pinned: true);
        int code = signed ? Zero : 0;
        for (int key = 0; key <= One; key++)
        {
            while (BitConverter.Int32BitsToSingle(key << KeyShift) > borders[code])
                code++;
            least[key] = (byte)code;
        }
        if (!signed)
            return;
        // What is negative is never coded as zero: it would be positive when it is read.
        borders[Zero - 1] = 0;
        code = Zero - 1;
        for (int key = Sign; key <= Sign + One; key++)
        {
            // Of negative floats the one with all other bits set is the least.
            while (code > 0 && BitConverter.Int32BitsToSingle((key << KeyShift) | 0xFFFF) <= borders[code - 1])
                code--;
            least[key] = (byte)code;
        }
    }

    /// <summary>
    /// For first moments: values from -1 to 1, by a rounding more at most. Codes of
    /// <see cref="QuantTables.SignedDynamic"/> with the sign of the value, -0 included.
    /// </summary>
    public static DynamicCodes Signed { get; } = new(QuantTables.SignedDynamic, true);

    /// <summary>For second moments: values from +0 to 1. Codes of <see cref="QuantTables.UnsignedDynamic"/>.</summary>
    public static DynamicCodes Unsigned { get; } = new(QuantTables.UnsignedDynamic, false);

    /// <summary>Codes of <paramref name="n"/> values, which lie in the map's range.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Encode(float* x, int n, byte* codes)
    {
        // Pinned arrays: the pointers hold.
        byte* start = (byte*)Unsafe.AsPointer(ref least[0]);
        float* border = (float*)Unsafe.AsPointer(ref borders[0]);
        int i = 0;
        for (; i <= n - 4; i += 4)
        {
            int c0 = start[((uint*)x)[i] >> KeyShift], c1 = start[((uint*)x)[i + 1] >> KeyShift];
            int c2 = start[((uint*)x)[i + 2] >> KeyShift], c3 = start[((uint*)x)[i + 3] >> KeyShift];
            codes[i] = (byte)(c0 + Beyond(x[i], border[c0]));
            codes[i + 1] = (byte)(c1 + Beyond(x[i + 1], border[c1]));
            codes[i + 2] = (byte)(c2 + Beyond(x[i + 2], border[c2]));
            codes[i + 3] = (byte)(c3 + Beyond(x[i + 3], border[c3]));
        }
        for (; i < n; i++)
        {
            int code = start[((uint*)x)[i] >> KeyShift];
            codes[i] = (byte)(code + Beyond(x[i], border[code]));
        }
        GC.KeepAlive(this);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Beyond(float x, float border) => x > border ? 1 : 0;
}
