using System.Runtime.InteropServices;
using System.Security.Cryptography;
using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

/// <summary>
/// The 4-bit and 8-bit codes, against the values of the format and a search over all codes in double precision.
/// </summary>
public unsafe class Nf4Tests
{
    // Of the 1024 little-endian bytes of each table, as published tables have them.
    [Theory]
    [InlineData(true, "e732639a65f497b4ad684bb166a4467708255edd5207757de8b8f0c7e1fda89c")]
    [InlineData(false, "305f002cc11278fb769d13b25b9fd0c7c83c8402c40a878fe086f4039fde6398")]
    public void DynamicMaps_HaveTheirBits(bool signed, string hash)
    {
        var map = signed ? QuantTables.SignedDynamic : QuantTables.UnsignedDynamic;
        Assert.Equal(hash, Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes(map))));
    }

    [Fact]
    public void Borders_AreTheMiddlesOfTheCodebook()
    {
        for (var i = 0; i < 15; i++)
            Assert.Equal((QuantTables.Nf4[i] + QuantTables.Nf4[i + 1]) / 2, QuantTables.Nf4Borders[i]);
    }

    [Fact]
    public void GoldenBlock_OfBitsandbytes()
    {
        var w = Enumerable.Range(0, 64).Select(i => ((((37 * i) + 11) % 64) - 31.5f) / 16).ToArray();
        var (codes, scales) = Quantize(w, 6);
        Assert.Equal(
            "1d4e70b2d4f81c2e5091c3e60a2d4f81b2e5f91c3e60a1d4f71b2e5f81c3e60a", Convert.ToHexStringLower(codes));
        Assert.Equal([1.96875f], scales);
        float[] expected =
            [-1.37062955f, 1.10765219f, -0.559993982f, 1.42332125f, 0, -1.96875f, 0.665270627f, -1.03373754f];
        Assert.Equal(expected, Dequantize(codes, scales, 64, 6)[..8]);
    }

    [Fact]
    public void GoldenScales_OfBitsandbytes()
    {
        var a = Enumerable.Range(0, 512).Select(b => 1 + (b * b % 97 / 64f)).ToArray();
        var codes = new byte[512];
        var groups = new float[2];
        fixed (float* x = a, g = groups)
        fixed (byte* c = codes)
            DynamicQuantize.Run(x, 512, 57205 / 32768f, 256, QuantTables.SignedDynamic, c, g);
        Assert.Equal(0.754241943f, groups[0]);
        Assert.Equal(0.754241943f, groups[1]);
        Assert.Equal([0, 2, 6, 14, 24, 37, 53, 164, 207, 232, 5, 36], codes[..12]);
        Assert.Equal([203, 244, 33, 193, 243, 40, 209, 12, 172, 252, 64, 247], codes[256..268]);
        Assert.Equal(0xfd8c94daa7744795UL, Fnv(codes.AsSpan(0, 256)));
        Assert.Equal(0xb88355865051d930UL, Fnv(codes.AsSpan(256)));
    }

    [Theory]
    [InlineData(5, 1000)]
    [InlineData(6, 64 * 1024)]
    [InlineData(6, 64 * 5 + 17)]
    [InlineData(7, 1)]
    [InlineData(8, 700)]
    [InlineData(12, 40_000)]
    public void Codes_AreTheNearest(int shift, int n)
    {
        var w = Normal(n, 3);
        var (codes, scales) = Quantize(w, shift);
        for (var i = 0; i < n; i++)
        {
            var block = w.AsSpan(i >> shift << shift, Math.Min(1 << shift, n - (i >> shift << shift)));
            var largest = 0f;
            foreach (var v in block)
                largest = Math.Max(largest, Math.Abs(v));
            Assert.Equal(largest, scales[i >> shift]);
            Assert.Equal(Nearest((double)w[i] / largest), CodeAt(codes, i));
        }
        if (n % 2 == 1)
            Assert.Equal(7, codes[^1] & 15);
    }

    [Fact]
    public void Ties_GoToTheLowerCode()
    {
        // Scale 1, every border itself, and its neighbours on both sides.
        var w = new float[64];
        w[0] = 1;
        for (var i = 0; i < 15; i++)
        {
            w[1 + (3 * i)] = QuantTables.Nf4Borders[i];
            w[2 + (3 * i)] = MathF.BitDecrement(QuantTables.Nf4Borders[i]);
            w[3 + (3 * i)] = MathF.BitIncrement(QuantTables.Nf4Borders[i]);
        }
        var (codes, _) = Quantize(w, 6);
        for (var i = 0; i < 15; i++)
            Assert.Equal((i, i, i + 1), (CodeAt(codes, 1 + (3 * i)), CodeAt(codes, 2 + (3 * i)), CodeAt(codes, 3 + (3 * i))));
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(1e-44f)]
    public void BlocksOfZeros_AreCodedAsZero(float value)
    {
        var (codes, scales) = Quantize([.. Enumerable.Repeat(value, 128)], 6);
        Assert.All(codes, c => Assert.Equal(0x77, c));
        Assert.All(Dequantize(codes, scales, 128, 6), v => Assert.Equal(0, v));
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void WhatIsNotFinite_IsNoticed(float value)
    {
        foreach (var at in new[] { 0, 70, 199 })
        {
            var w = Normal(200, 1);
            w[at] = value;
            Assert.False(TryQuantize(w, 6, out _, out _));
        }
    }

    // The means and deviations over samples of 1,048,576 that bitsandbytes' tests state; 4 deviations for one sample.
    [Theory]
    [InlineData(5, 0.067746, 0.000069, 0.189726, 0.000304)]
    [InlineData(6, 0.072798, 0.000074, 0.203339, 0.000340)]
    [InlineData(7, 0.076831, 0.000091, 0.215237, 0.000391)]
    [InlineData(8, 0.080337, 0.000102, 0.226105, 0.000398)]
    [InlineData(9, 0.083547, 0.000143, 0.236079, 0.000544)]
    [InlineData(10, 0.086610, 0.000187, 0.245370, 0.000600)]
    [InlineData(11, 0.089592, 0.000251, 0.254163, 0.000747)]
    [InlineData(12, 0.092547, 0.000360, 0.262473, 0.000999)]
    public void ErrorOnNormalValues_IsThatOfBitsandbytes(int shift, double mean, double std, double rel, double relStd)
    {
        var w = Normal(1 << 20, 17);
        var (codes, scales) = Quantize(w, shift);
        var (error, relative) = (0.0, 0.0);
        foreach (var (from, to) in w.Zip(Dequantize(codes, scales, w.Length, shift)))
        {
            error += Math.Abs(from - to);
            relative += Math.Abs(from - to) / (Math.Abs(from) + 1e-8);
        }
        Assert.Equal(mean, error / w.Length, 4 * std);
        Assert.Equal(rel, relative / w.Length, 4 * relStd);
    }

    [Fact]
    public void EightBitCodes_AreTheNearest()
    {
        foreach (var map in new[] { QuantTables.SignedDynamic.ToArray(), QuantTables.UnsignedDynamic.ToArray() })
        {
            fixed (float* table = map)
            {
                for (var i = -1000; i <= 1000; i++)
                {
                    var x = i / 1000f;
                    var code = DynamicQuantize.Code(x, table);
                    // In F32 a middle is rounded: a tie in all but name may go either way.
                    Assert.Equal(map.Min(v => Math.Abs((double)v - x)), Math.Abs((double)map[code] - x), 1e-8);
                }
                Assert.Equal(255, DynamicQuantize.Code(1, table));
                Assert.Equal(map[0] == 0 ? 0 : 127, DynamicQuantize.Code(0, table));
                Assert.Equal(0, DynamicQuantize.Code(-1, table));
            }
        }
    }

    [Fact]
    public void Fp4_IsDecodedBySignAndMagnitude()
    {
        float[] magnitudes = [0, 1 / 192f, 2 / 3f, 1, 1 / 3f, 1 / 2f, 1 / 6f, 1 / 4f];
        byte[] codes = [.. Enumerable.Range(0, 32).Select(i => (byte)((2 * i % 16 << 4) | ((2 * i) + 1) % 16))];
        var values = Dequantize(codes, [3], 64, 6, QuantTables.Fp4);
        for (var i = 0; i < 64; i++)
            Assert.Equal((i % 16 < 8 ? 3 : -3) * magnitudes[i % 8], values[i], 1e-6f);
    }

    [Fact]
    public void Bits_DoNotDependOnThreads()
    {
        var w = Normal(100_000, 5);
        Check.SameForAnyThreadCount(() =>
        {
            var (codes, scales) = Quantize(w, 6);
            return Dequantize(codes, scales, w.Length, 6);
        });
    }

    internal static (byte[] Codes, float[] Scales) Quantize(float[] w, int shift) =>
        TryQuantize(w, shift, out var codes, out var scales) ? (codes, scales) : throw new ArithmeticException();

    internal static float[] Normal(int n, ulong seed)
    {
        var values = new float[n];
        fixed (float* v = values)
            RandomFill.Normal(v, n, 0, 1, seed, 0);
        return values;
    }

    private static bool TryQuantize(float[] w, int shift, out byte[] codes, out float[] scales)
    {
        codes = new byte[(w.Length + 1) / 2];
        scales = new float[(w.Length + (1 << shift) - 1) >> shift];
        fixed (float* x = w, a = scales)
        fixed (byte* c = codes)
            return Nf4Kernel.Quantize(x, w.Length, shift, c, a);
    }

    private static float[] Dequantize(byte[] codes, float[] scales, int n, int shift, ReadOnlySpan<float> book = default)
    {
        var values = new float[n];
        fixed (float* y = values, a = scales, table = book.IsEmpty ? QuantTables.Nf4 : book)
        fixed (byte* c = codes)
        {
            var view = new QuantizedView { Codes = c, Codebook = table, AbsMax = a, BlockShift = shift };
            Nf4Kernel.Dequantize(view, y, n);
        }
        return values;
    }

    private static int CodeAt(byte[] codes, int i) => i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15;

    private static int Nearest(double x)
    {
        var best = 0;
        for (var i = 1; i < 16; i++)
        {
            if (Math.Abs(QuantTables.Nf4[i] - x) < Math.Abs(QuantTables.Nf4[best] - x))
                best = i;
        }
        return best;
    }

    private static ulong Fnv(ReadOnlySpan<byte> bytes)
    {
        // The basis that the published hashes of these codes were made with.
        var hash = 1469598103934665603UL;
        foreach (var b in bytes)
            hash = (hash ^ b) * 0x100000001b3UL;
        return hash;
    }
}
