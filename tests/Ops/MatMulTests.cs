using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class MatMulTests
{
    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(true, true)]
    public void Product_MatchesDoublePrecision(bool ta, bool tb)
    {
        foreach (var device in TestDevice.Names)
            Product(device, ta, tb);
    }

    private static void Product(string device, bool ta, bool tb)
    {
        using var scope = OpCheck.On(device);
        const int batch = 3, m = 5, n = 7, k = 11;
        var a = GradientCheck.Leaf(1, ta ? Shape.Of(batch, k, m) : Shape.Of(batch, m, k));
        var b = GradientCheck.Leaf(2, tb ? Shape.Of(batch, n, k) : Shape.Of(batch, k, n));

        var y = a.MatMul(b, ta, tb);

        Assert.Equal(Shape.Of(batch, m, n), y.Shape);
        var (av, bv, yv) = (a.ToArray(), b.ToArray(), y.ToArray());
        for (var i = 0; i < y.Count; i++)
        {
            var (s, rest) = Math.DivRem(i, m * n);
            var (row, col) = Math.DivRem(rest, n);
            double sum = 0;
            for (var p = 0; p < k; p++)
            {
                var left = av[(s * m * k) + (ta ? (p * m) + row : (row * k) + p)];
                var right = bv[(s * k * n) + (tb ? (col * k) + p : (p * n) + col)];
                sum += (double)left * right;
            }
            // k = 11 products of unit normals: rounding stays below a few units of 1e-6.
            Assert.Equal(sum, yv[i], 1e-5);
        }
    }

    [Theory]
    [InlineData(false, false, false, false)]
    [InlineData(true, false, false, false)]
    [InlineData(false, true, false, false)]
    [InlineData(true, true, false, false)]
    [InlineData(false, false, true, false)]
    [InlineData(true, false, true, false)]
    [InlineData(false, false, false, true)]
    [InlineData(false, true, false, true)]
    [InlineData(true, true, true, false)]
    [InlineData(true, true, false, true)]
    public void Gradient_MatchesDifferences(bool ta, bool tb, bool sharedA, bool sharedB)
    {
        foreach (var device in TestDevice.Names)
            Gradient(device, ta, tb, sharedA, sharedB);
    }

    private static void Gradient(string device, bool ta, bool tb, bool sharedA, bool sharedB)
    {
        using var scope = OpCheck.On(device);
        var a = GradientCheck.Leaf(3, Batched(sharedA, ta ? 4 : 3, ta ? 3 : 4), name: "a");
        var b = GradientCheck.Leaf(4, Batched(sharedB, tb ? 5 : 4, tb ? 4 : 5), name: "b");
        GradientCheck.Run(() => a.MatMul(b, ta, tb), a, b);
    }

    /// <summary>
    /// Against the same ops in F32 on the same rounded values: results and gradients are rounded once to BF16, dy too.
    /// </summary>
    [Theory]
    [InlineData(false, false, false)]
    [InlineData(true, false, true)]
    [InlineData(false, true, true)]
    [InlineData(true, true, false)]
    public void Bf16_MatchesF32(bool ta, bool tb, bool sharedB)
    {
        foreach (var device in TestDevice.Names.Where(name => name != "cpu"))
        {
            using var scope = OpCheck.On(device);
            int[] dimsA = ta ? [2, 9, 6] : [2, 6, 9], matrixB = tb ? [7, 9] : [9, 7];
            int[] dimsB = sharedB ? matrixB : [2, .. matrixB];
            var (a, b) = (OpCheck.Bf16Leaf(3, dimsA), OpCheck.Bf16Leaf(4, dimsB));
            var (wideA, wideB) = (Wide(a), Wide(b));
            var dy = OpCheck.Bf16Leaf(5, 2, 6, 7);

            var y = a.MatMul(b, ta, tb);
            y.Backward(dy);
            var wide = wideA.MatMul(wideB, ta, tb);
            wide.Backward(Wide(dy));

            Assert.Equal(DType.BF16, y.DType);
            Close(wide, y);
            Close(wideA.Grad!, a.Grad!);
            Close(wideB.Grad!, b.Grad!);
            // A factor of the other type is cast; the first decides.
            Close(wide, a.MatMul(wideB, ta, tb));
            Assert.Equal(DType.F32, wideA.MatMul(b, ta, tb).DType);
            Close(wide, wideA.MatMul(b, ta, tb));
        }

        static Tensor Wide(Tensor narrow)
        {
            var wide = Tensor.From(narrow.ToArray(), narrow.Shape);
            wide.RequiresGrad = true;
            return wide;
        }
    }

    private static void Close(Tensor expected, Tensor actual)
    {
        Assert.Equal(expected.Shape, actual.Shape);
        var (want, have) = (expected.ToArray(), actual.ToArray());
        for (var i = 0; i < want.Length; i++)
            Assert.Equal(want[i], have[i], (1 + Math.Abs(want[i])) / 128);
    }

    [Fact]
    public void WrongShapes_AreNamed()
    {
        using var scope = TensorScope.Begin();
        var a = Tensor.Zeros(Shape.Of(2, 3));
        var error = Assert.Throws<ArgumentException>(() => a.MatMul(Tensor.Zeros(Shape.Of(4, 5))));
        Assert.Equal("[matmul] inner dimensions must match, but got 3 and 4 (a (2, 3), b (4, 5))", error.Message);
        Assert.Throws<ArgumentException>(() => a.MatMul(Tensor.Zeros(Shape.Of(3))));
        Assert.Throws<ArgumentException>(
            () => Tensor.Zeros(Shape.Of(2, 2, 3)).MatMul(Tensor.Zeros(Shape.Of(3, 3, 4))));
    }

    private static Shape Batched(bool shared, int rows, int cols) =>
        shared ? Shape.Of(rows, cols) : Shape.Of(2, rows, cols);
}
