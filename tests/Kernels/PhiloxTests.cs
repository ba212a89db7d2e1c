using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

[Collection("threads")]
public unsafe class PhiloxTests
{
    // Known-answer vectors of Random123 (tests/kat_vectors, philox4x32 10).
    [Theory]
    [InlineData(0ul, 0ul, 0ul, new[] { 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u })]
    [InlineData(
        0xffffffffffffffff, 0xffffffffffffffff, 0xffffffffffffffff,
        new[] { 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu })]
    [InlineData(
        0x85a308d3243f6a88, 0x0370734413198a2e, 0x299f31d0a4093822,
        new[] { 0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u })]
    public void KnownAnswers(ulong block, ulong stream, ulong seed, uint[] expected)
    {
        var words = stackalloc uint[4];
        Philox.Block(block, stream, seed, words);
        Assert.Equal(expected, new ReadOnlySpan<uint>(words, 4).ToArray());
    }

    [Theory]
    [InlineData(0ul)]
    [InlineData(4ul * 0xFFFFFFF9)]
    [InlineData(4ul * 0x1_2345_6789)]
    public void WideStepEqualsBlocks(ulong first)
    {
        var wide = stackalloc uint[Philox.Batch];
        var block = stackalloc uint[4];
        Philox.Words(first, 0x123456789ABCDEF0, 42, wide);
        for (var i = 0; i < Philox.Batch; i++)
        {
            Philox.Block(first / 4 + (ulong)(i / 4), 0x123456789ABCDEF0, 42, block);
            Assert.Equal(block[i % 4], wide[i]);
        }
    }

    [Fact]
    public void UniformHasItsMoments()
    {
        using var y = new Floats(200_003);
        RandomFill.Uniform(y.P, y.Length, -1f, 3f, 7, 1);
        Moments(y, out var mean, out var variance);
        // Five standard errors of a mean of 200003 uniforms of width 4.
        Assert.Equal(1.0, mean, 5 * 4 / Math.Sqrt(12.0 * y.Length));
        Assert.Equal(16.0 / 12, variance, 0.02);
        Assert.All(y.Span.ToArray(), v => Assert.InRange(v, -1f, 3f));
    }

    [Fact]
    public void NormalHasItsMoments()
    {
        using var y = new Floats(200_003);
        RandomFill.Normal(y.P, y.Length, 0.5f, 2f, 7, 2);
        Moments(y, out var mean, out var variance);
        Assert.Equal(0.5, mean, 5 * 2 / Math.Sqrt(y.Length));
        Assert.Equal(4.0, variance, 0.07);
        var fourth = 0.0;
        foreach (var v in y.Span)
            fourth += Math.Pow((v - 0.5) / 2, 4) / y.Length;
        Assert.Equal(3.0, fourth, 0.15);
        // Neighbours are independent.
        var lag = 0.0;
        for (var i = 1; i < y.Length; i++)
            lag += (y[i] - mean) * (y[i - 1] - mean) / y.Length;
        Assert.Equal(0.0, lag, 5 * 4 / Math.Sqrt(y.Length));
    }

    [Fact]
    public void NormalFollowsBoxMuller()
    {
        using var y = new Floats(64);
        RandomFill.Normal(y.P, 64, 0f, 1f, 99, 3);
        var words = stackalloc uint[4];
        double Unit(int i)
        {
            Philox.Block((ulong)(i / 4), 3, 99, words);
            return (words[i % 4] >> 8) / 16777216.0;
        }
        for (var j = 0; j < 16; j++)
        {
            var radius = Math.Sqrt(-2 * Math.Log(1 - Unit(32 + j)));
            var angle = 2 * Math.PI * Unit(48 + j);
            Assert.Equal(radius * Math.Cos(angle), y[32 + j], 2e-6);
            Assert.Equal(radius * Math.Sin(angle), y[48 + j], 2e-6);
        }
    }

    [Fact]
    public void DropoutRecomputesItsMask()
    {
        const int n = 50_001;
        using var x = Floats.Random(n, 1, 0.5f, 2f);
        using var y = new Floats(n);
        using var again = Floats.Random(n, 2);
        using var before = again.Copy();
        DropoutKernel.Apply(x.P, y.P, n, 0.3f, 5, 9);
        DropoutKernel.Apply(x.P, again.P, n, 0.3f, 5, 9, accumulate: true);
        var words = stackalloc uint[4];
        var dropped = 0;
        for (var i = 0; i < n; i++)
        {
            Philox.Block((ulong)(i / 4), 9, 5, words);
            var keep = words[i % 4] >= 0.3f * 4294967296.0;
            dropped += keep ? 0 : 1;
            Assert.Equal(keep ? x[i] / 0.7 : 0, y[i], 1e-6);
            Assert.Equal(before[i] + y[i], again[i], 1e-6);
        }
        Assert.InRange(dropped, 0.29 * n, 0.31 * n);
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(1f)]
    public void DropoutAtItsEnds(float p)
    {
        using var x = Floats.Random(77, 1, 0.5f, 2f);
        using var y = new Floats(77);
        DropoutKernel.Apply(x.P, y.P, 77, p, 5, 9);
        for (var i = 0; i < 77; i++)
            Assert.Equal(p == 0f ? x[i] : 0f, y[i]);
    }

    [Fact]
    public void SameForAnyThreadCount() => Check.SameForAnyThreadCount(() =>
    {
        using var y = new Floats(100_001);
        RandomFill.Normal(y.P, y.Length, 0f, 1f, 7, 2);
        DropoutKernel.Apply(y.P, y.P, y.Length, 0.1f, 3, 4);
        return y.Span.ToArray();
    });

    private static void Moments(Floats y, out double mean, out double variance)
    {
        mean = variance = 0;
        foreach (var v in y.Span)
            mean += v / (double)y.Length;
        foreach (var v in y.Span)
            variance += (v - mean) * (v - mean) / y.Length;
    }
}
