using CudaLora.Engine;

namespace CudaLora.Tests.Engine;

public unsafe class FloatConvertTests
{
    private static ushort[] AllBits()
    {
        ushort[] bits = new ushort[65536 + 3];
        for (int i = 0; i < bits.Length; i++) bits[i] = (ushort)i;
        return bits;
    }

    [Fact]
    public void EveryHalfWidensExactly()
    {
        ushort[] bits = AllBits();
        float[] result = new float[bits.Length];
        fixed (ushort* s = bits)
        fixed (float* d = result)
            FloatConvert.F16ToF32(s, d, bits.Length);
        for (int i = 0; i < bits.Length; i++)
        {
            // Oracle: sign * 2^(e - 15) * (1 + m / 1024), computed in double.
            int e = bits[i] >> 10 & 31, m = bits[i] & 1023, sign = bits[i] >> 15 == 0 ? 1 : -1;
            double expected = e == 31 ? (m == 0 ? sign * double.PositiveInfinity : double.NaN)
                : e == 0 ? sign * m * Math.Pow(2, -24) : sign * (1 + m / 1024.0) * Math.Pow(2, e - 15);
            Assert.Equal((float)expected, result[i]);
            if (e == 0 && m == 0) Assert.Equal(sign < 0, float.IsNegative(result[i]));
        }
    }

    [Fact]
    public void EveryBF16SurvivesTheRoundTrip()
    {
        ushort[] bits = AllBits(), back = new ushort[bits.Length];
        float[] wide = new float[bits.Length];
        fixed (ushort* s = bits)
        fixed (ushort* b = back)
        fixed (float* d = wide)
        {
            FloatConvert.BF16ToF32(s, d, bits.Length);
            FloatConvert.F32ToBF16(d, b, bits.Length);
        }
        for (int i = 0; i < bits.Length; i++)
        {
            Assert.Equal(BitConverter.Int32BitsToSingle(bits[i] << 16), wide[i]);
            if (float.IsNaN(wide[i])) Assert.Equal(bits[i] | 0x40, back[i]);
            else Assert.Equal(bits[i], back[i]);
        }
    }

    [Fact]
    public void BF16RoundsToNearestEven()
    {
        var random = new Random(3);
        float[] values = new float[1027];
        for (int i = 0; i < values.Length; i++)
        {
            uint bits = (uint)random.NextInt64(1L << 32);
            if (i % 3 == 0) bits = (bits & 0xffff0000) | 0x8000; // a tie
            values[i] = BitConverter.UInt32BitsToSingle(bits);
        }
        ushort[] result = new ushort[values.Length];
        fixed (float* s = values)
        fixed (ushort* d = result)
            FloatConvert.F32ToBF16(s, d, values.Length);
        for (int i = 0; i < values.Length; i++)
        {
            if (float.IsNaN(values[i])) continue;
            // Oracle: of the two neighbours the nearer in double, the even one on a tie.
            uint bits = BitConverter.SingleToUInt32Bits(values[i]);
            ushort down = (ushort)(bits >> 16), up = (ushort)(down + 1);
            double low = BitConverter.UInt32BitsToSingle((uint)down << 16), high = Finite(up);
            double toLow = Math.Abs(values[i] - low), toHigh = Math.Abs(high - values[i]);
            ushort expected = toLow < toHigh || (toLow == toHigh && down % 2 == 0) ? down : up;
            Assert.Equal(expected, result[i]);
        }

        // The neighbour beyond the largest finite value counts as 2^128.
        static double Finite(ushort bits)
        {
            float value = BitConverter.UInt32BitsToSingle((uint)bits << 16);
            return float.IsInfinity(value) ? Math.CopySign(Math.Pow(2, 128), value) : value;
        }
    }

    [Fact]
    public void DoublesAndHalvesRoundAsTheRuntimeDoes()
    {
        var random = new Random(4);
        double[] values = new double[61];
        for (int i = 0; i < values.Length; i++) values[i] = (random.NextDouble() - 0.5) * Math.Pow(10, random.Next(-45, 39));
        float[] singles = new float[values.Length];
        ushort[] halves = new ushort[values.Length];
        fixed (double* s = values)
        fixed (float* d = singles)
        fixed (ushort* h = halves)
        {
            FloatConvert.F64ToF32(s, d, values.Length);
            FloatConvert.F32ToF16(d, h, values.Length);
        }
        for (int i = 0; i < values.Length; i++)
        {
            Assert.Equal((float)values[i], singles[i]);
            Assert.Equal(BitConverter.HalfToUInt16Bits((Half)singles[i]), halves[i]);
        }
    }
}
