using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

public unsafe class RopeTests
{
    [Theory]
    [InlineData(2, 3, 6)]
    [InlineData(5, 2, 34)]
    [InlineData(9, 4, 64)]
    public void TurnsPairsAndBack(int rows, int heads, int dim)
    {
        const int positions = 50;
        using var cos = new Floats(positions * dim / 2);
        using var sin = new Floats(positions * dim / 2);
        RopeTable.Fill(cos.P, sin.P, positions, dim, new RopeFrequencies(10000f));
        using var x = Floats.Random(rows * heads * dim, 1);
        using var y = new Floats(x.Length);
        var at = new int[rows];
        for (var r = 0; r < rows; r++)
            at[r] = (r * 17 + 3) % positions;
        fixed (int* p = at)
        {
            RopeKernel.Apply(x.P, y.P, rows, heads, dim, cos.P, sin.P, p, 0, inverse: false);
            var expected = new double[x.Length];
            for (var r = 0; r < rows; r++)
            {
                for (var h = 0; h < heads; h++)
                {
                    for (var j = 0; j < dim / 2; j++)
                    {
                        var angle = at[r] * Math.Pow(10000, -2.0 * j / dim);
                        var i = (r * heads + h) * dim + j;
                        double a = x[i], b = x[i + dim / 2];
                        expected[i] = a * Math.Cos(angle) - b * Math.Sin(angle);
                        expected[i + dim / 2] = b * Math.Cos(angle) + a * Math.Sin(angle);
                    }
                }
            }
            // Angles are floats: at position 49 they are off by up to 2e-6.
            Check.Close(expected, y.Span, 0, 1e-5);
            // A rotation's gradient is its inverse: turning back in place gives x again.
            RopeKernel.Apply(y.P, y.P, rows, heads, dim, cos.P, sin.P, p, 0, inverse: true);
            Check.Close(x.Doubles(), y.Span, 0, 1e-6);
            RopeKernel.Apply(x.P, y.P, rows, heads, dim, cos.P, sin.P, p, 0, inverse: false, accumulate: true);
            for (var i = 0; i < x.Length; i++)
                expected[i] += x[i];
            Check.Close(expected, y.Span, 0, 1e-5);
        }
    }

    [Fact]
    public void WithoutPositionsRowsCountUpToThePeriod()
    {
        using var cos = new Floats(4 * 2);
        using var sin = new Floats(4 * 2);
        RopeTable.Fill(cos.P, sin.P, 4, 4, new RopeFrequencies(100f));
        using var x = Floats.Random(8 * 4, 1);
        using var y = new Floats(8 * 4);
        using var z = new Floats(8 * 4);
        RopeKernel.Apply(x.P, y.P, 8, 1, 4, cos.P, sin.P, null, 4, inverse: false);
        fixed (int* p = new[] { 0, 1, 2, 3, 0, 1, 2, 3 })
            RopeKernel.Apply(x.P, z.P, 8, 1, 4, cos.P, sin.P, p, 0, inverse: false);
        Assert.Equal(z.Span.ToArray(), y.Span.ToArray());
    }

    [Fact]
    public void LinearScalingDividesPositions()
    {
        var plain = new RopeFrequencies(10000f);
        var scaled = new RopeFrequencies(10000f, RopeScaling.Linear, 4f);
        for (var j = 0; j < 32; j++)
            Assert.Equal(plain.At(j, 64) / 4, scaled.At(j, 64), 15);
    }

    [Fact]
    public void Llama3ScalingKeepsHighAndDividesLowFrequencies()
    {
        var plain = new RopeFrequencies(500000f);
        var scaled = new RopeFrequencies(500000f, RopeScaling.Llama3, 8f, 1f, 4f, 8192);
        var kinds = new HashSet<int>();
        for (var j = 0; j < 64; j++)
        {
            double f = plain.At(j, 128), wave = 2 * Math.PI / f;
            var smooth = (8192 / wave - 1) / (4 - 1);
            var expected = wave < 8192 / 4.0 ? f : wave > 8192 ? f / 8 : (1 - smooth) * f / 8 + smooth * f;
            kinds.Add(wave < 8192 / 4.0 ? 0 : wave > 8192 ? 1 : 2);
            Assert.Equal(expected, scaled.At(j, 128), 1e-12);
        }
        Assert.Equal(3, kinds.Count);
    }
}
