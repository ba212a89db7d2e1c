using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;
using CudaLora.Tests.Kernels;

namespace CudaLora.Tests;

/// <summary>
/// SiLU, GELU, SwiGLU and dropout at addresses and lengths that no vector fits, in place, overwriting and adding, and
/// at the ends of the range.
/// </summary>
public unsafe class PointwiseLaunchTests
{
    // bf16: half a unit of 8 bits. f32: an exponential of two units in the last place and a few roundings.
    private static double Tolerance(bool bf16) => bf16 ? 1.0 / 256 : 1e-6;

    private static double SiluOf(double x) => x / (1 + Math.Exp(-x));

    private static double GeluOf(double x) => 0.5 * x * (1 + VectorMathTests.Erf(x / Math.Sqrt(2)));

    private static double GeluTanh(double x) =>
        0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x))));

    [Theory]
    [InlineData("silu", false)]
    [InlineData("silu", true)]
    [InlineData("gelu", false)]
    [InlineData("gelu", true)]
    [InlineData("gelu_tanh", false)]
    [InlineData("gelu_tanh", true)]
    public void ActivationsAtAnyAddressAndLength(string name, bool bf16)
    {
        Func<double, double> f = name switch { "silu" => SiluOf, "gelu" => GeluOf, _ => GeluTanh };
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        var inputs = new LabInputs(context, 5);
        foreach ((int n, int offset) in new[] { (1, 0), (3, 0), (37, 0), (2100, 0), (37, 1), (300, 3) })
        {
            float[] x = [.. inputs.Values(n).Select(value => 6 * value)], dy = inputs.Values(n);
            float[] start = inputs.Values(n);
            using DeviceArray from = new(context, x, bf16, offset), gradient = new(context, dy, bf16, offset);
            using DeviceArray y = new(context, n, bf16, offset), fresh = new(context, n, bf16, offset);
            using DeviceArray sum = new(context, start, bf16, offset);
            Run(context, name, from.Address, y.Address, n, bf16);
            Run(context, name, from.Address, gradient.Address, fresh.Address, n, false, bf16);
            Run(context, name, from.Address, gradient.Address, sum.Address, n, true, bf16);
            // Central differences in double are exact to 1e-9 here.
            double[] slopes = [.. x.Select(v => (f(v + 1e-5) - f(v - 1e-5)) / 2e-5)];
            double t = Tolerance(bf16);
            // The bf16 entry's Phi is good to 4.4e-5, which shows where a sum cancels.
            double absolute = bf16 ? 1e-4 : 2e-6;
            Check.Close([.. x.Select(v => f(v))], y.ToArray(), t, 1e-6);
            Check.Close([.. slopes.Select((s, i) => dy[i] * s)], fresh.ToArray(), t, absolute);
            Check.Close([.. slopes.Select((s, i) => start[i] + (dy[i] * s))], sum.ToArray(), t, absolute);
            // In place.
            Run(context, name, from.Address, from.Address, n, bf16);
            Assert.Equal(y.ToArray(), from.ToArray());
        }
    }

    [Theory]
    [InlineData("silu", false)]
    [InlineData("silu", true)]
    [InlineData("gelu", false)]
    [InlineData("gelu", true)]
    [InlineData("gelu_tanh", false)]
    [InlineData("gelu_tanh", true)]
    public void ActivationsAtTheEndsOfTheRange(string name, bool bf16)
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        float[] x = [-1e30f, -1000, -88, -20, 0, 20, 88, 1000, 1e30f, float.PositiveInfinity, float.NaN];
        using DeviceArray from = new(context, x, bf16), y = new(context, x.Length, bf16);
        using DeviceArray dx = new(context, x.Length, bf16);
        using DeviceArray one = new(context, [.. x.Select(_ => 1f)], bf16);
        Run(context, name, from.Address, y.Address, x.Length, bf16);
        Run(context, name, from.Address, one.Address, dx.Address, x.Length, false, bf16);
        float[] value = y.ToArray(), slope = dx.ToArray();
        for (int i = 0; i < 9; i++)
        {
            Assert.Equal(x[i] > 0 ? x[i] : 0, value[i], 1e-6f * Math.Abs(x[i]));
            Assert.Equal(x[i] > 0 ? 1 : x[i] < 0 ? 0 : 0.5f, slope[i], 1e-6f);
        }
        Assert.Equal(float.PositiveInfinity, value[9]);
        Assert.True(float.IsNaN(value[10]) && float.IsNaN(slope[10]));
    }

    [Theory]
    [InlineData(5, 7, 7, false)]
    [InlineData(5, 8, 24, false)]
    [InlineData(3, 40, 88, true)]
    [InlineData(3, 40, 84, true)]
    [InlineData(4, 7, 15, true)]
    public void SwigluOfAnyPitch(int rows, int cols, int pitch, bool bf16)
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        var inputs = new LabInputs(context, 6);
        float[] gate = [.. inputs.Values(rows * pitch).Select(value => 4 * value)], up = inputs.Values(rows * pitch);
        float[] dy = inputs.Values(rows * cols), start = inputs.Values(rows * pitch);
        using DeviceArray dGate = new(context, gate, bf16), dUp = new(context, up, bf16);
        using DeviceArray dDy = new(context, dy, bf16), y = new(context, rows * cols, bf16);
        using DeviceArray toGate = new(context, start, bf16), toUp = new(context, (float[])start.Clone(), bf16);
        using DeviceArray alone = new(context, (float[])start.Clone(), bf16);
        Swiglu.Forward(context.Stream, dGate.Address, dUp.Address, pitch, y.Address, cols, rows, cols, bf16);
        Swiglu.Backward(
            context.Stream, dGate.Address, dUp.Address, pitch, dDy.Address, cols, toGate.Address, false, toUp.Address,
            true, pitch, rows, cols, bf16);
        Swiglu.Backward(
            context.Stream, dGate.Address, dUp.Address, pitch, dDy.Address, cols, 0, true, alone.Address, true, pitch,
            rows, cols, bf16);
        var expected = new double[rows * cols];
        // What lies between the rows stays.
        double[] eGate = [.. start.Select(v => (double)v)], eUp = [.. eGate];
        for (int i = 0; i < expected.Length; i++)
        {
            int at = i / cols * pitch + i % cols;
            double g = gate[at], s = 1 / (1 + Math.Exp(-g));
            expected[i] = g * s * up[at];
            eGate[at] = dy[i] * up[at] * s * (1 + (g * (1 - s)));
            eUp[at] += dy[i] * g * s;
        }
        Check.Close(expected, y.ToArray(), Tolerance(bf16));
        Check.Close(eGate, toGate.ToArray(), Tolerance(bf16));
        Check.Close(eUp, toUp.ToArray(), Tolerance(bf16));
        Assert.Equal(toUp.ToArray(), alone.ToArray());
    }

    [Theory]
    [InlineData(1, 0, false)]
    [InlineData(4099, 0, false)]
    [InlineData(130, 3, false)]
    [InlineData(4099, 0, true)]
    [InlineData(130, 1, true)]
    public void DropoutHasTheMaskOfTheCpu(int n, int offset, bool bf16)
    {
        const ulong seed = 0xFEDCBA9876543210, number = 0x1_0000_0003;
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        var inputs = new LabInputs(context, 7);
        float[] x = inputs.Values(n), start = inputs.Values(n);
        using DeviceArray from = new(context, x, bf16, offset), to = new(context, n, bf16, offset);
        using DeviceArray sum = new(context, start, bf16, offset);
        using DeviceBuffer<ulong> cell = context.Memory.Upload<ulong>([3]);
        Dropout.Apply(context.Stream, from.Address, to.Address, n, 0.3f, seed, number, 0, false, bf16);
        Dropout.Apply(
            context.Stream, from.Address, sum.Address, n, 0.3f, seed, number - 3, cell.Pointer.Address, true, bf16);
        float[] expected = new float[n], added = (float[])start.Clone();
        fixed (float* input = x)
        fixed (float* output = expected)
        fixed (float* plus = added)
        {
            DropoutKernel.Apply(input, output, n, 0.3f, seed, number);
            DropoutKernel.Apply(input, plus, n, 0.3f, seed, number, accumulate: true);
        }
        if (bf16)
        {
            DeviceArray.Round(expected);
            DeviceArray.Round(added);
        }
        // The same operations in the same order: the same bits.
        Assert.Equal(expected, to.ToArray());
        Assert.Equal(added, sum.ToArray());
    }

    private static void Run(CudaContext context, string name, ulong x, ulong y, int n, bool bf16)
    {
        if (name == "silu") Silu.Forward(context.Stream, x, y, n, bf16);
        else Gelu.Forward(context.Stream, x, y, n, name == "gelu_tanh", bf16);
    }

    private static void Run(
        CudaContext context, string name, ulong x, ulong dy, ulong dx, int n, bool accumulate, bool bf16)
    {
        if (name == "silu")
        {
            Silu.Backward(context.Stream, x, dy, dx, n, accumulate, bf16);
            return;
        }
        Gelu.Backward(
            context.Stream, x, dy, dx, n, accumulate, name == "gelu_tanh", bf16);
    }
}
