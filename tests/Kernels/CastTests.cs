using System.Numerics;
using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

public unsafe class CastTests
{
    private static readonly uint[] Mantissas =
        [0, 1, 0xFFF, 0x1000, 0x1001, 0x3000, 0x7FFF, 0x8000, 0x8001, 0x18000, 0x7FFFFF];

    // Every exponent, with mantissas on, just below and just above the rounding boundaries of both formats.
    private static float[] Probes()
    {
        var probes = new List<float> { 0f, float.NegativeZero, float.NaN, float.PositiveInfinity, 65519.9f, 65520f };
        for (var exponent = 0u; exponent < 256; exponent++)
        {
            foreach (var mantissa in Mantissas)
            {
                probes.Add(BitConverter.UInt32BitsToSingle((exponent << 23) | mantissa));
                probes.Add(BitConverter.UInt32BitsToSingle(0x80000000u | (exponent << 23) | mantissa));
            }
        }
        var random = new Random(1);
        for (var i = 0; i < 50_000; i++)
            probes.Add(BitConverter.UInt32BitsToSingle((uint)random.NextInt64(1L << 32)));
        return [.. probes];
    }

    private static bool Same(Half expected, ushort actual) =>
        Half.IsNaN(expected) ? Half.IsNaN(BitConverter.UInt16BitsToHalf(actual))
            : BitConverter.HalfToUInt16Bits(expected) == actual;

    [Fact]
    public void ToHalfAgreesWithTheRuntime()
    {
        var x = Probes();
        var y = new ushort[x.Length];
        fixed (float* px = x)
        fixed (ushort* py = y)
            CastKernel.ToHalf(px, py, x.Length);
        for (var i = 0; i < x.Length; i++)
            Assert.True(Same((Half)x[i], y[i]), $"{x[i]:R} gave {y[i]:X4}");
    }

    [Fact]
    public void ToBFloat16RoundsToNearestEven()
    {
        var x = Probes();
        var y = new ushort[x.Length];
        fixed (float* px = x)
        fixed (ushort* py = y)
            CastKernel.ToBFloat16(px, py, x.Length);
        for (var i = 0; i < x.Length; i++)
        {
            var actual = BitConverter.UInt32BitsToSingle((uint)y[i] << 16);
            if (float.IsNaN(x[i]))
                Assert.True(float.IsNaN(actual));
            else
                Assert.Equal(NearestBFloat16(x[i]), y[i]);
        }
    }

    // The nearer of the two neighbours, by their distances in double; an even word on a tie.
    private static ushort NearestBFloat16(float x)
    {
        var below = BitConverter.SingleToUInt32Bits(x) >> 16;
        if (float.IsInfinity(x))
            return (ushort)below;
        static double Value(uint word) => (word & 0x7FFF) == 0x7F80
            ? Math.Pow(2, 128) * ((word & 0x8000) != 0 ? -1 : 1)
            : BitConverter.UInt32BitsToSingle(word << 16);
        double low = Math.Abs(x - Value(below)), high = Math.Abs(Value(below + 1) - x);
        return (ushort)(low < high || (low == high && below % 2 == 0) ? below : below + 1);
    }

    [Fact]
    public void WideningIsExactForEveryWord()
    {
        var words = new ushort[65536 + 3];
        for (var i = 0; i < words.Length; i++)
            words[i] = (ushort)i;
        var half = new float[words.Length];
        var brain = new float[words.Length];
        fixed (ushort* p = words)
        fixed (float* ph = half, pb = brain)
        {
            CastKernel.FromHalf(p, ph, words.Length);
            CastKernel.FromBFloat16(p, pb, words.Length);
        }
        for (var i = 0; i < words.Length; i++)
        {
            Assert.Equal((float)BitConverter.UInt16BitsToHalf(words[i]), half[i]);
            Assert.Equal(BitConverter.UInt32BitsToSingle((uint)words[i] << 16), brain[i]);
        }
    }

    [Fact]
    public void BetweenTheNarrowFormats()
    {
        var words = new ushort[1001];
        for (var i = 0; i < words.Length; i++)
            words[i] = (ushort)(i * 65);
        var y = new ushort[words.Length];
        var back = new ushort[words.Length];
        fixed (ushort* p = words, py = y, pb = back)
        {
            CastKernel.BFloat16ToHalf(p, py, words.Length);
            CastKernel.HalfToBFloat16(p, pb, words.Length);
        }
        for (var i = 0; i < words.Length; i++)
        {
            var x = BitConverter.UInt32BitsToSingle((uint)words[i] << 16);
            Assert.True(Same((Half)x, y[i]));
            var h = (float)BitConverter.UInt16BitsToHalf(words[i]);
            if (!float.IsNaN(h))
                Assert.Equal(NearestBFloat16(h), back[i]);
        }
    }
}
