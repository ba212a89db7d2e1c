using System.Numerics;
using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

public class VectorMathTests
{
    private delegate Vector<float> Function(Vector<float> x);

    // Largest error seen, in units in the last place of the exact result, over a dense sweep of the bit patterns.
    private static double WorstUlps(Function f, Func<double, double> exact, float low, float high)
    {
        var worst = 0.0;
        var input = new float[Vector<float>.Count];
        const int steps = 200_000;
        for (var i = 0; i < steps; i += input.Length)
        {
            for (var k = 0; k < input.Length; k++)
                input[k] = (float)(low + (high - (double)low) * (i + k + 0.37) / steps);
            var y = f(new Vector<float>(input));
            for (var k = 0; k < input.Length; k++)
                worst = Math.Max(worst, Ulps(exact(input[k]), y[k]));
        }
        return worst;
    }

    private static double Ulps(double exact, float actual)
    {
        return Math.Abs(exact - actual) / Spacing(exact);
    }

    private static double Spacing(double exact)
    {
        var magnitude = Math.Max(Math.Abs(exact), 1.17549435e-38);
        return Math.Pow(2, Math.Floor(Math.Log2(magnitude)) - 23);
    }

    // Series and continued fraction in double, good to 1e-15.
    internal static double Erf(double x)
    {
        var a = Math.Abs(x);
        if (a > 6)
            return Math.Sign(x);
        double term = a, sum = a;
        for (var n = 1; n < 200; n++)
        {
            term *= 2 * a * a / (2 * n + 1);
            sum += term;
        }
        return Math.Sign(x) * 2 / Math.Sqrt(Math.PI) * Math.Exp(-a * a) * sum;
    }

    [Theory]
    [InlineData(-87.3f, 88.7f)]
    [InlineData(-1f, 1f)]
    public void Exp(float low, float high) =>
        Assert.InRange(WorstUlps(VectorMath.Exp, Math.Exp, low, high), 0, 1.1);

    [Theory]
    [InlineData(1e-38f, 1e-30f)]
    [InlineData(0.4f, 2.5f)]
    [InlineData(1f, 3e38f)]
    public void Log(float low, float high) =>
        Assert.InRange(WorstUlps(VectorMath.Log, Math.Log, low, high), 0, 1.1);

    [Theory]
    [InlineData(-80f, 80f)]
    [InlineData(-2f, 2f)]
    public void Sigmoid(float low, float high) =>
        Assert.InRange(WorstUlps(VectorMath.Sigmoid, x => 1 / (1 + Math.Exp(-x)), low, high), 0, 2.5);

    [Theory]
    [InlineData(-12f, 12f)]
    [InlineData(-1f, 1f)]
    [InlineData(-1e-5f, 1e-5f)]
    public void Tanh(float low, float high) =>
        Assert.InRange(WorstUlps(VectorMath.Tanh, Math.Tanh, low, high), 0, 2);

    [Fact]
    public void SineAndCosineOfTurns()
    {
        for (var i = 0; i <= 100_000; i++)
        {
            var u = i / 100_000f;
            VectorMath.SinCosTurns(new Vector<float>(u), out var sin, out var cos);
            Assert.Equal(Math.Sin(2 * Math.PI * u), sin[0], 1.2e-7);
            Assert.Equal(Math.Cos(2 * Math.PI * u), cos[0], 1.2e-7);
        }
    }

    [Fact]
    public void SpecialValues()
    {
        static float One(Function f, float x) => f(new Vector<float>(x))[0];

        Assert.Equal(float.PositiveInfinity, One(VectorMath.Exp, 88.8f));
        Assert.Equal(float.PositiveInfinity, One(VectorMath.Exp, float.PositiveInfinity));
        Assert.Equal(0f, One(VectorMath.Exp, float.NegativeInfinity));
        Assert.Equal(0f, One(VectorMath.Exp, -1000f));
        Assert.True(float.IsNaN(One(VectorMath.Exp, float.NaN)));
        Assert.Equal(1f, One(VectorMath.Exp, 0f));
        Assert.Equal(float.NegativeInfinity, One(VectorMath.Log, 0f));
        Assert.Equal(float.PositiveInfinity, One(VectorMath.Log, float.PositiveInfinity));
        Assert.True(float.IsNaN(One(VectorMath.Log, -1f)));
        Assert.True(float.IsNaN(One(VectorMath.Log, float.NaN)));
        Assert.Equal(0f, One(VectorMath.Log, 1f));
        Assert.Equal(1f, One(VectorMath.Tanh, float.PositiveInfinity));
        Assert.Equal(-1f, One(VectorMath.Tanh, -50f));
        Assert.True(float.IsNaN(One(VectorMath.Tanh, float.NaN)));
        Assert.Equal(0f, One(VectorMath.Sigmoid, -100f));
        Assert.Equal(1f, One(VectorMath.Sigmoid, 100f));
        Assert.Equal(float.NegativeZero, One(VectorMath.Tanh, float.NegativeZero));
    }
}
