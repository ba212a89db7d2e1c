using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

[Collection("threads")]
public unsafe class ReductionTests
{
    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(3, 7, 1)]
    [InlineData(1, 40_001, 1)]
    [InlineData(2, 300, 5)]
    [InlineData(4, 3, 1030)]
    [InlineData(1, 5000, 17)]
    public void SumMeanMax(int outer, int axis, int inner)
    {
        var cells = outer * inner;
        using var x = Floats.Random(outer * axis * inner, 1);
        using var y = new Floats(cells);
        var sum = new double[cells];
        var max = new double[cells];
        var at = new int[cells];
        Array.Fill(max, double.NegativeInfinity);
        for (var i = 0; i < x.Length; i++)
        {
            var cell = i / (axis * inner) * inner + i % inner;
            sum[cell] += x[i];
            if (x[i] > max[cell])
                (max[cell], at[cell]) = (x[i], i / inner % axis);
        }
        SumKernel.Axis(x.P, outer, axis, inner, 1f, y.P);
        Check.Close(sum, y.Span, 1e-6, 1e-5);
        SumKernel.Axis(x.P, outer, axis, inner, 1f / axis, y.P, accumulate: true);
        Check.Close(Array.ConvertAll(sum, v => v + v / axis), y.Span, 1e-6, 2e-5);

        var index = new int[cells];
        using var dx = new Floats(x.Length);
        using var dy = Floats.Random(cells, 2);
        fixed (int* p = index)
        {
            MaxKernel.Axis(x.P, outer, axis, inner, y.P, p);
            MaxKernel.AxisBackward(dy.P, p, outer, axis, inner, dx.P);
        }
        Check.Close(max, y.Span, 0, 0);
        Assert.Equal(at, index);
        for (var i = 0; i < x.Length; i++)
        {
            var cell = i / (axis * inner) * inner + i % inner;
            Assert.Equal(i / inner % axis == at[cell] ? dy[cell] : 0f, dx[i]);
        }

        SumKernel.AxisBackward(dy.P, outer, axis, inner, 0.5f, dx.P);
        SumKernel.AxisBackward(dy.P, outer, axis, inner, 0.5f, dx.P, accumulate: true);
        for (var i = 0; i < x.Length; i++)
            Assert.Equal(dy[i / (axis * inner) * inner + i % inner], dx[i]);
    }

    [Fact]
    public void MaxTakesTheFirstOfEqualsAndNaN()
    {
        using var x = Floats.Of(1f, 3f, 3f, 2f, 5f, float.NaN, 9f, float.NaN);
        using var y = new Floats(2);
        var at = new int[2];
        fixed (int* p = at)
            MaxKernel.Axis(x.P, 2, 4, 1, y.P, p);
        Assert.Equal([1, 1], at);
        Assert.Equal(3f, y[0]);
        Assert.True(float.IsNaN(y[1]));
    }

    [Fact]
    public void TotalsAreExactToDoubleOverBlocks()
    {
        using var x = Floats.Random(1_000_003, 1, 0f, 1f);
        double sum = 0, squares = 0;
        foreach (var v in x.Span)
        {
            sum += v;
            squares += (double)v * v;
        }
        Assert.Equal(sum, SumKernel.All(x.P, x.Length), sum * 1e-7);
        Assert.Equal(squares, SumKernel.Squares(x.P, x.Length), squares * 1e-7);
    }

    [Fact]
    public void SameForAnyThreadCount() => Check.SameForAnyThreadCount(() =>
    {
        using var x = Floats.Random(1000 * 777, 1);
        using var y = new Floats(777);
        using var z = new Floats(1000);
        SumKernel.Axis(x.P, 1, 1000, 777, 1f, y.P);
        SumKernel.Axis(x.P, 1000, 777, 1, 1f, z.P);
        return [.. y.Span, .. z.Span, (float)SumKernel.All(x.P, x.Length), (float)SumKernel.Squares(x.P, x.Length)];
    });
}
