using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

[Collection("threads")]
public unsafe class ElementwiseTests
{
    public static TheoryData<int[], int[], int[]> Shapes => new()
    {
        { [7, 13], [7, 13], [7, 13] },
        { [7, 13], [7, 13], [13] },
        { [7, 13], [7, 1], [1, 13] },
        { [7, 13], [1], [7, 13] },
        { [2, 3, 5, 17], [2, 1, 5, 1], [3, 1, 17] },
        { [2, 2, 2, 2, 2, 3], [2, 1, 2, 1, 2, 1], [1, 2, 1, 2, 1, 3] },
        { [3, 40_001], [40_001], [3, 1] },
        { [1], [], [1] },
        { [0, 4], [0, 4], [4] },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void BinaryWithBroadcast(int[] result, int[] a, int[] b)
    {
        var plan = BroadcastPlan.Create(result, a, b);
        using var x = Floats.Random(Count(a), 1);
        using var z = Floats.Random(Count(b), 2, 0.5f, 2f);
        using var y = new Floats(Count(result));
        var ex = Expand(x.Doubles(), a, result);
        var ez = Expand(z.Doubles(), b, result);

        BinaryKernel.Add(plan, x.P, z.P, y.P);
        Check.Close(Zip(ex, ez, (p, q) => p + q), y.Span);
        BinaryKernel.Sub(plan, x.P, z.P, y.P);
        Check.Close(Zip(ex, ez, (p, q) => p - q), y.Span);
        BinaryKernel.Div(plan, x.P, z.P, y.P);
        Check.Close(Zip(ex, ez, (p, q) => p / q), y.Span);
        BinaryKernel.NegDiv(plan, x.P, z.P, y.P);
        Check.Close(Zip(ex, ez, (p, q) => -p / q), y.Span);
        BinaryKernel.Mul(plan, x.P, z.P, y.P);
        Check.Close(Zip(ex, ez, (p, q) => p * q), y.Span);
        BinaryKernel.Mul(plan, x.P, z.P, y.P, accumulate: true);
        Check.Close(Zip(ex, ez, (p, q) => 2 * p * q), y.Span);
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void ReducesToEitherOperand(int[] result, int[] a, int[] b)
    {
        using var x = Floats.Random(Count(result), 3);
        foreach (var target in new[] { a, b })
        {
            using var y = new Floats(Count(target));
            var expected = new double[y.Length];
            var map = Indices(target, result);
            for (var i = 0; i < x.Length; i++)
                expected[map[i]] += x[i];
            ReduceToShape.Run(x.P, result, y.P, target);
            Check.Close(expected, y.Span, 1e-5, 1e-5);
            y.Span.Fill(2f);
            ReduceToShape.Run(x.P, result, y.P, target, accumulate: true);
            Check.Close(Check.Plus(expected, 2), y.Span, 1e-5, 1e-5);
        }
    }

    [Fact]
    public void ManyRowsReduceWithLittleRounding()
    {
        const int rows = 100_000, cols = 3;
        using var x = Floats.Random(rows * cols, 4, 0f, 1f);
        using var y = new Floats(cols);
        ReduceToShape.Run(x.P, [rows, cols], y.P, [cols]);
        var expected = new double[cols];
        for (var i = 0; i < x.Length; i++)
            expected[i % cols] += x[i];
        // A plain running sum of 100000 floats would be off by about 1e-5.
        Check.Close(expected, y.Span, 1e-6, 0);
    }

    [Fact]
    public void RefusesShapesThatDoNotBroadcast() =>
        Assert.Throws<ArgumentException>(() => BroadcastPlan.Create([2, 3], [2, 2], [3]));

    [Theory]
    [InlineData(1)]
    [InlineData(31)]
    [InlineData(50_003)]
    public void FlatOperations(int n)
    {
        using var x = Floats.Random(n, 1);
        using var y = Floats.Random(n, 2);
        var dx = x.Doubles();
        var dy = y.Doubles();
        VectorOps.Axpby(2f, x.P, -0.5f, y.P, n);
        Check.Close(Zip(dx, dy, (p, q) => 2 * p - 0.5 * q), y.Span);
        VectorOps.Scale(x.P, 3f, y.P, n);
        Check.Close(Zip(dx, dx, (p, _) => 3 * p), y.Span);
        VectorOps.Copy(x.P, y.P, n, accumulate: true);
        Check.Close(Zip(dx, dx, (p, _) => 4 * p), y.Span);
        VectorOps.Fill(y.P, 1.5f, n);
        Assert.All(y.Span.ToArray(), v => Assert.Equal(1.5f, v));
    }

    [Fact]
    public void SameForAnyThreadCount() => Check.SameForAnyThreadCount(() =>
    {
        using var x = Floats.Random(600 * 301, 5);
        using var b = Floats.Random(301, 6);
        using var y = new Floats(x.Length);
        using var sum = new Floats(301);
        BinaryKernel.Mul(BroadcastPlan.Create([600, 301], [600, 301], [301]), x.P, b.P, y.P);
        ReduceToShape.Run(y.P, [600, 301], sum.P, [301]);
        return sum.Span.ToArray();
    });

    internal static int Count(int[] shape)
    {
        var n = 1;
        foreach (var s in shape)
            n *= s;
        return n;
    }

    private static double[] Zip(double[] a, double[] b, Func<double, double, double> f)
    {
        var y = new double[a.Length];
        for (var i = 0; i < y.Length; i++)
            y[i] = f(a[i], b[i]);
        return y;
    }

    private static double[] Expand(double[] values, int[] shape, int[] result)
    {
        var map = Indices(shape, result);
        return Array.ConvertAll(map, i => values[i]);
    }

    // For each element of the result the element of the broadcast operand, by plain index arithmetic.
    internal static int[] Indices(int[] shape, int[] result)
    {
        var map = new int[Count(result)];
        for (var i = 0; i < map.Length; i++)
        {
            int rest = i, at = 0, stride = 1;
            for (var d = 1; d <= result.Length; d++)
            {
                var coordinate = rest % result[^d];
                rest /= result[^d];
                if (d > shape.Length)
                    continue;
                at += shape[^d] == 1 ? 0 : coordinate * stride;
                stride *= shape[^d];
            }
            map[i] = at;
        }
        return map;
    }
}
