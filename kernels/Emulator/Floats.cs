using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Emulator;

/// <summary>Rounding of the ISA: to nearest even, toward zero, down, up, nearest with ties away.</summary>
internal enum Rounding
{
    NearestEven, Zero, Down, Up, NearestAway,
}

/// <summary>
/// Float formats and rounding. Wide operations are computed in double with round-to-odd, which keeps a sticky bit, so
/// one final rounding to any narrower format is exact.
/// </summary>
internal static class Floats
{
    public const uint CanonicalNaN = 0x7FFFFFFF;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float F32(ulong bits) => BitConverter.UInt32BitsToSingle((uint)bits);

    public static double F64(ulong bits) => BitConverter.UInt64BitsToDouble(bits);

    public static float F16(ulong bits) => (float)BitConverter.UInt16BitsToHalf((ushort)bits);

    public static float BF16(ulong bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    /// <summary>Bits of an f32 result, with the one NaN that the hardware makes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Bits(float value) => float.IsNaN(value) ? CanonicalNaN : BitConverter.SingleToUInt32Bits(value);

    public static ulong Bits(double value) => double.IsNaN(value) ? 0x7FFFFFFFFFFFFFFF
        : BitConverter.DoubleToUInt64Bits(value);

    public static uint FlushBits(uint bits) => (bits & 0x7F800000) == 0 ? bits & 0x80000000 : bits;

    public static float Flush(float value) =>
        BitConverter.UInt32BitsToSingle(FlushBits(BitConverter.SingleToUInt32Bits(value)));

    /// <summary>a + b in double, rounded to odd.</summary>
    public static double AddOdd(double a, double b)
    {
        double sum = a + b;
        if (!double.IsFinite(sum)) return sum;
        double t = sum - a;
        return Odd(sum, (a - (sum - t)) + (b - t));
    }

    /// <summary>a b + c in double, rounded to odd, for factors of at most 26 bits.</summary>
    public static double FmaOdd(double a, double b, double c) => AddOdd(a * b, c);

    /// <summary>
    /// Rounds to a format of <paramref name="bits"/> significant bits and minimum exponent, as a double.
    /// </summary>
    public static double Round(double value, int bits, int minExponent, double largest, Rounding mode)
    {
        if (value == 0 || !double.IsFinite(value)) return value;
        int exponent = Math.Max(Math.ILogB(value), minExponent);
        double unit = Math.ScaleB(1, exponent - bits + 1);
        double scaled = value / unit;
        double rounded = RoundToInteger(scaled, mode) * unit;
        if (rounded == 0) return double.CopySign(0, value);
        if (Math.Abs(rounded) <= largest) return rounded;
        bool toInfinity = mode switch
        {
            Rounding.Zero => false,
            Rounding.Down => value < 0,
            Rounding.Up => value > 0,
            _ => true,
        };
        return double.CopySign(toInfinity ? double.PositiveInfinity : largest, value);
    }

    public static double RoundToInteger(double value, Rounding mode) => mode switch
    {
        Rounding.NearestEven => Math.Round(value, MidpointRounding.ToEven),
        Rounding.Zero => Math.Truncate(value),
        Rounding.Down => Math.Floor(value),
        Rounding.Up => Math.Ceiling(value),
        _ => Math.Round(value, MidpointRounding.AwayFromZero),
    };

    public static uint ToF32(double value, Rounding mode = Rounding.NearestEven) =>
        Bits((float)Round(value, 24, -126, float.MaxValue, mode));

    public static uint ToF16(double value, Rounding mode = Rounding.NearestEven)
    {
        if (double.IsNaN(value)) return 0x7FFF;
        return BitConverter.HalfToUInt16Bits((Half)Round(value, 11, -14, 65504, mode));
    }

    public static uint ToBF16(double value, Rounding mode = Rounding.NearestEven)
    {
        if (double.IsNaN(value)) return 0x7FFF;
        return BitConverter.SingleToUInt32Bits((float)Round(value, 8, -126, 3.3895313892515355e38, mode)) >> 16;
    }

    /// <summary>f32 to bf16, nearest even: the hot case.</summary>
    public static uint ToBF16(float value)
    {
        if (float.IsNaN(value)) return 0x7FFF;
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    }

    /// <summary>f32 to tf32: 10 fraction bits, ties away.</summary>
    public static uint ToTF32(float value)
    {
        if (float.IsNaN(value)) return CanonicalNaN;
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsInfinity(value) ? bits : (bits + 0x1000) & 0xFFFFE000;
    }

    private static double Odd(double sum, double error)
    {
        if (error == 0) return sum;
        long bits = BitConverter.DoubleToInt64Bits(sum);
        if ((bits & 1) != 0) return sum;
        return BitConverter.Int64BitsToDouble(error > 0 == sum > 0 ? bits + 1 : bits - 1);
    }
}
