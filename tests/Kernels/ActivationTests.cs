using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

[Collection("threads")]
public unsafe class ActivationTests
{
    private delegate void Forward(float* x, float* y, long n, bool accumulate);

    private delegate void Backward(float* x, float* dy, float* dx, long n, bool accumulate);

    private static double Silu(double x) => x / (1 + Math.Exp(-x));

    private static double Gelu(double x) => 0.5 * x * (1 + VectorMathTests.Erf(x / Math.Sqrt(2)));

    private static double GeluTanh(double x) =>
        0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));

    [Theory]
    [InlineData("silu", 1)]
    [InlineData("silu", 40_007)]
    [InlineData("gelu", 131)]
    [InlineData("gelu", 40_007)]
    [InlineData("gelu_tanh", 131)]
    [InlineData("gelu_tanh", 40_007)]
    public void MatchesItsDefinition(string name, int n)
    {
        (Func<double, double> f, Forward forward, Backward backward) = name switch
        {
            "silu" => ((Func<double, double>)Silu, (Forward)SiluKernel.Forward, (Backward)SiluKernel.Backward),
            "gelu" => (Gelu, GeluKernel.Forward, GeluKernel.Backward),
            _ => (GeluTanh, GeluKernel.TanhForward, GeluKernel.TanhBackward),
        };
        using var x = Floats.Random(n, 1, -9f, 9f);
        using var dy = Floats.Random(n, 2);
        using var y = new Floats(n);
        using var dx = new Floats(n);
        forward(x.P, y.P, n, false);
        backward(x.P, dy.P, dx.P, n, false);
        var expected = Array.ConvertAll(x.Doubles(), v => f(v));
        var slope = new double[n];
        for (var i = 0; i < n; i++)
            slope[i] = dy[i] * (f(x[i] + 1e-5) - f(x[i] - 1e-5)) / 2e-5;
        Check.Close(expected, y.Span, 1e-6, 1e-6);
        Check.Close(slope, dx.Span, 2e-6, 2e-6);

        y.Span.Fill(1f);
        dx.Span.Fill(1f);
        forward(x.P, y.P, n, true);
        backward(x.P, dy.P, dx.P, n, true);
        Check.Close(Check.Plus(expected, 1), y.Span, 1e-6, 1e-6);
        Check.Close(Check.Plus(slope, 1), dx.Span, 2e-6, 3e-6);
    }

    // To about a place of x or 1, and from -4 to 0 relative to the value too, where the terms of the exponent, of size
    // 10, round to 1e-6 each. The difference of two halves would be off by up to 5e-4 of the value.
    [Fact]
    public void GeluKeepsItsDigitsBelowZero()
    {
        const int n = 60_000;
        using var x = new Floats(n);
        using var y = new Floats(n);
        for (var i = 0; i < n; i++)
            x.Span[i] = -15f + i * 5e-4f;
        GeluKernel.Forward(x.P, y.P, n);
        for (var i = 0; i < n; i++)
        {
            var error = Math.Abs(Gelu(x[i]) - y[i]);
            var allowed = 1.5e-7 * Math.Max(1, Math.Abs(x[i]));
            if (x[i] is < 0 and > -4)
                allowed = Math.Min(allowed, 1e-5 * Math.Abs(Gelu(x[i])));
            Assert.True(error <= allowed, $"gelu({x[i]:R}) = {y[i]:R}, off by {error:E2}");
        }
    }

    [Theory]
    [InlineData(5, 7, 7)]
    [InlineData(5, 7, 14)]
    [InlineData(3, 9001, 9001)]
    public void Swiglu(int rows, int cols, int stride)
    {
        using var gate = Floats.Random(rows * stride, 1, -5f, 5f);
        using var up = Floats.Random(rows * stride, 2);
        using var dy = Floats.Random(rows * cols, 3);
        using var y = new Floats(rows * cols);
        using var dgate = Floats.Of(new float[rows * stride]);
        using var dup = Floats.Of(new float[rows * stride]);
        SwigluKernel.Forward(gate.P, up.P, stride, y.P, rows, cols);
        SwigluKernel.Backward(gate.P, up.P, stride, dy.P, rows, cols, dgate.P, false, dup.P, true);
        var expected = new double[rows * cols];
        double[] eGate = new double[rows * stride], eUp = new double[rows * stride];
        for (var r = 0; r < rows; r++)
        {
            for (var c = 0; c < cols; c++)
            {
                double g = gate[r * stride + c], u = up[r * stride + c], d = dy[r * cols + c];
                expected[r * cols + c] = Silu(g) * u;
                eGate[r * stride + c] = d * u * (Silu(g + 1e-5) - Silu(g - 1e-5)) / 2e-5;
                eUp[r * stride + c] = d * Silu(g);
            }
        }
        Check.Close(expected, y.Span);
        Check.Close(eGate, dgate.Span, 2e-6, 2e-6);
        Check.Close(eUp, dup.Span, 2e-6, 2e-6);

        SwigluKernel.Backward(gate.P, up.P, stride, dy.P, rows, cols, null, false, null, false);
        SwigluKernel.Backward(gate.P, up.P, stride, dy.P, rows, cols, dgate.P, true, null, false);
        Check.Close(Array.ConvertAll(eGate, v => 2 * v), dgate.Span, 2e-6, 4e-6);
    }

    [Fact]
    public void SameForAnyThreadCount() => Check.SameForAnyThreadCount(() =>
    {
        using var x = Floats.Random(100_003, 1);
        using var y = new Floats(x.Length);
        GeluKernel.Forward(x.P, y.P, x.Length);
        SwigluKernel.Forward(x.P, y.P, 1009, y.P, 99, 1009);
        return y.Span.ToArray();
    });
}
