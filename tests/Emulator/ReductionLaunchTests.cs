using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;
using CudaLora.Tests.Kernels;

namespace CudaLora.Tests;

/// <summary>Sums and maxima over an axis of any extent, in one launch or two, and their gradients.</summary>
public class ReductionLaunchTests
{
    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(3, 7, 1)]
    [InlineData(5, 1000, 1)]
    [InlineData(1, 20_011, 1)]
    [InlineData(2, 6144, 1)]
    [InlineData(1, 3, 5)]
    [InlineData(2, 33, 24)]
    [InlineData(1, 300, 264)]
    [InlineData(3, 70, 37)]
    [InlineData(2, 0, 3)]
    public void SumsOverAnAxis(int outer, int axis, int inner)
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        var inputs = new LabInputs(context, 21);
        float[] x = inputs.Values(outer * axis * inner), start = inputs.Values(outer * inner);
        foreach ((bool bf16, bool bf16Y, int offset) in new[]
        {
            (false, false, 0), (true, false, 0), (true, true, 0), (false, false, 1), (true, false, 1),
        })
        {
            using DeviceArray from = new(context, x, bf16, offset);
            using DeviceArray fresh = new(context, start.Length, bf16Y), sum = new(context, start, bf16Y);
            using DeviceBuffer<float> scratch = inputs.Empty<float>(
                Math.Max(1, Sum.ScratchCount(outer, axis, inner, bf16)));
            foreach ((DeviceArray y, bool adds) in new[] { (fresh, false), (sum, true) })
            {
                Sum.Axis(
                    context.Stream, from.Address, bf16, outer, axis, inner, 0.5f, y.Address, bf16Y, adds,
                    scratch.Pointer.Address);
                double[] expected = [.. start.Select(v => adds ? v : 0.0)];
                for (int i = 0; i < x.Length; i++)
                    expected[i / (axis * inner) * inner + (i % inner)] += 0.5 * x[i];
                // f32 sums of up to 20 000 terms of order one that partly cancel; bf16 half a unit of 8 bits.
                Check.Close(expected, y.ToArray(), bf16Y ? 1.0 / 256 : 2e-6, bf16Y ? 1e-3 : 2e-5);
            }
        }
    }

    [Fact]
    public void ALongAxisIsCut()
    {
        Assert.Equal(0, Sum.ScratchCount(1, 2000, 1, false));
        Assert.True(Sum.ScratchCount(1, 20_011, 1, false) > 1);
        Assert.True(Sum.ScratchCount(1, 300, 264, true) > 264);
        Assert.Equal(0, Sum.ScratchCount(5000, 100_000, 1, false));
    }

    [Theory]
    [InlineData(3, 5, 8, false)]
    [InlineData(3, 5, 7, true)]
    [InlineData(4, 6, 1, true)]
    [InlineData(1, 50, 1, false)]
    public void TheGradientOfASumIsSpread(int outer, int axis, int inner, bool bf16)
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        var inputs = new LabInputs(context, 22);
        float[] dy = inputs.Values(outer * inner), start = inputs.Values(outer * axis * inner);
        using DeviceArray from = new(context, dy, bf16), to = new(context, start, bf16);
        Elementwise.Expand(context.Stream, from.Operand, 0.25f, outer, axis, inner, to.Operand, accumulate: true);
        float[] expected =
            [.. start.Select((v, i) => v + (0.25f * dy[i / (axis * inner) * inner + (i % inner)]))];
        if (bf16) DeviceArray.Round(expected);
        Assert.Equal(expected, to.ToArray());
    }

    [Theory]
    [InlineData(4, 1, 1, false)]
    [InlineData(4, 9, 1, false)]
    [InlineData(2, 777, 1, true)]
    [InlineData(3, 9, 5, false)]
    [InlineData(3, 9, 6, true)]
    public void TheFirstMaximumIsFound(int outer, int axis, int inner, bool bf16)
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        var inputs = new LabInputs(context, 23);
        int cells = outer * inner;
        float[] x = [.. inputs.Values(cells * axis).Select(v => MathF.Round(3 * v))];
        // Both zeros are equal, minus infinity is a value, NaN is largest.
        for (int k = 0; k < axis; k++)
        {
            x[k * inner] = k % 2 == 0 ? -0f : 0f;
            x[(axis + k) * inner] = float.NegativeInfinity;
        }
        if (axis > 2) x[((outer - 1) * axis + 2) * inner] = -float.NaN;
        int[] at = new int[cells];
        float[] largest = new float[cells];
        for (int cell = 0; cell < cells; cell++)
        {
            int first = (cell / inner * axis * inner) + (cell % inner);
            for (int k = 1; k < axis; k++)
            {
                float value = x[first + (k * inner)], best = x[first + (at[cell] * inner)];
                if (!float.IsNaN(best) && (value > best || float.IsNaN(value))) at[cell] = k;
            }
            largest[cell] = x[first + (at[cell] * inner)];
        }
        using DeviceArray from = new(context, x, bf16, 1), y = new(context, cells, bf16, 1);
        using DeviceBuffer<int> places = inputs.Empty<int>(cells);
        Max.Axis(context.Stream, from.Address, outer, axis, inner, y.Address, 0, bf16);
        Max.Axis(context.Stream, from.Address, outer, axis, inner, 0, places.Pointer.Address, bf16);
        Assert.Equal(largest, y.ToArray());
        Assert.Equal(at, places.ToArray());

        float[] dy = inputs.Values(cells);
        using DeviceArray gradient = new(context, dy, bf16), dx = new(context, cells * axis, bf16);
        Max.AxisBackward(
            context.Stream, gradient.Address, places.Pointer.Address, outer, axis, inner, dx.Address, false, bf16);
        float[] expected = new float[cells * axis];
        for (int cell = 0; cell < cells; cell++)
            expected[(((cell / inner * axis) + at[cell]) * inner) + (cell % inner)] = dy[cell];
        Assert.Equal(expected, dx.ToArray());
    }
}
