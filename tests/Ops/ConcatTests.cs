using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class ConcatTests
{
    [Theory, OnDevices]
    public void Output_JoinsAndSlicesTakeApart(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor a = OpCheck.Leaf(1, 2, 2, 3), b = OpCheck.Leaf(2, 2, 4, 3), c = OpCheck.Leaf(3, 2, 1, 3);
        var y = TensorOps.Concat(1, a, b, c);
        Assert.Equal(Shape.Of(2, 7, 3), y.Shape);
        Assert.Equal(a.ToArray(), y.Slice(1, 0, 2).ToArray());
        Assert.Equal(b.ToArray(), y.Slice(1, 2, 4).ToArray());
        Assert.Equal(c.ToArray(), y.Slice(1, 6, 1).ToArray());
        // Element (1, 2, 0) of y is element (1, 0, 0) of b.
        Assert.Equal(b.ToArray()[12], y.ToArray()[27]);
    }

    // Rows that several work items share out, and rows too wide for one.
    [Theory]
    [InlineData(45, 700, 1, 300)]
    [InlineData(3, 20_000, 7, 16_384)]
    public void LargeRows_LieSideBySide(int rows, int first, int second, int third)
    {
        using var scope = OpCheck.On("cpu");
        int[] widths = [first, second, third];
        Tensor[] parts = [.. widths.Select((width, i) => OpCheck.Leaf(i + 1, rows, width))];
        var values = Array.ConvertAll(parts, part => part.ToArray());
        var expected = Enumerable.Range(0, rows)
            .SelectMany(row => widths.SelectMany((width, i) => values[i].Skip(row * width).Take(width)));
        Assert.Equal(expected, TensorOps.Concat(1, parts).ToArray());
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor a = OpCheck.Leaf(1, 2, 2, 3), b = OpCheck.Leaf(2, 2, 4, 3);
        GradientCheck.Run(() => TensorOps.Concat(^2, a, b, a), a, b);
        OpCheck.SecondUseAccumulates(() => TensorOps.Concat(1, a, b), a, b);
    }

    [Theory, OnDevices]
    public void FrozenInputs_GetNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor a = OpCheck.Leaf(1, 2, 3), b = OpCheck.Leaf(2, 2, 3);
        OpCheck.FrozenInputsGetNoWork(() => TensorOps.Concat(0, a, b), a, b);
    }

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        static double[] Formula(double[][] t) => [.. t[0][..8], .. t[1][..3], .. t[0][8..], .. t[1][3..]];
        Bf16Check.Run(t => TensorOps.Concat(^1, t[0], t[1]), Formula, Shape.Of(2, 8), Shape.Of(2, 3));
        // A part in F32, as a trained prefix: the result is BF16, its gradient F32.
        Bf16Check.Run(
            t => TensorOps.Concat(^1, t[0], t[1]), Formula, [OpCheck.Leaf(1, 2, 8), OpCheck.Bf16Leaf(2, 2, 3)]);
    }

    [Fact]
    public void WrongShapes_AreNamed() => OpCheck.Refused(
        "[concat] shapes must match except along axis 0, but got (2, 3) and (2, 4)",
        () => TensorOps.Concat(0, Tensor.Zeros(Shape.Of(2, 3)), Tensor.Zeros(Shape.Of(2, 4))));
}
