using CudaLora.Engine;
using CudaLora.Kernels.Simd;
using CudaLora.Tests.Ops;

namespace CudaLora.Tests.Engine;

/// <summary>
/// QR and singular values against what defines them, in double precision. The factors are rounded to F32 (6e-8 each),
/// so
/// products of up to 96 of them stay within 1e-5 of norm 1.
/// </summary>
public class DecompositionTests
{
    private const double Tolerance = 1e-5;

    public static TheoryData<int, int, int> Shapes => new()
    {
        { 1, 1, 1 }, { 7, 3, 3 }, { 3, 7, 3 }, { 40, 40, 40 }, { 96, 33, 33 }, { 33, 96, 33 },
        // Rank 4 of 12 columns, and a single direction.
        { 30, 12, 4 }, { 12, 30, 4 }, { 9, 5, 1 },
    };

    [Theory, MemberData(nameof(Shapes))]
    public void QrRebuildsTheMatrix(int m, int n, int rank)
    {
        using var scope = TensorScope.Begin();
        var matrix = Matrix(m, n, rank);
        var qr = QrDecomposition.Of(matrix);
        AssertOrthonormal(qr.Q);
        AssertNear(matrix, qr.Q.MatMul(qr.R));
        var r = qr.R.ToArray();
        for (var i = 0; i < Math.Min(m, n); i++)
        {
            Assert.True(r[(i * n) + i] >= 0, $"diagonal {i}: {r[(i * n) + i]}");
            Assert.All(r.AsSpan(i * n, Math.Min(i, n)).ToArray(), below => Assert.Equal(0, below));
        }
    }

    [Theory, MemberData(nameof(Shapes))]
    public void SingularValuesRebuildTheMatrix(int m, int n, int rank)
    {
        using var scope = TensorScope.Begin();
        var matrix = Matrix(m, n, rank);
        var svd = SingularValues.Of(matrix);
        var k = Math.Min(m, n);
        Assert.Equal((Shape.Of(m, k), Shape.Of(n, k), k), (svd.U.Shape, svd.V.Shape, svd.Values.Count));
        AssertOrthonormal(svd.U);
        AssertOrthonormal(svd.V);
        Assert.Equal(svd.Values.OrderDescending(), svd.Values);
        Assert.All(svd.Values.Skip(rank), value => Assert.InRange(value, 0, 1e-5f * svd.Values[0]));
        var scaled = svd.U.Mul(Tensor.From([.. svd.Values], Shape.Of(k)));
        AssertNear(matrix, scaled.MatMul(svd.V, transposeB: true));
    }

    // Singular values of the product of two rotations with a diagonal between are the diagonal, whatever its range.
    [Fact]
    public void ValuesOfAWideRangeAreFoundToTheirOwnScale()
    {
        using var scope = TensorScope.Begin();
        float[] expected = [1000, 30, 30, 1, 0.02f];
        var left = QrDecomposition.Of(GradientCheck.Leaf(1, Shape.Of(20, 5), requiresGrad: false)).Q;
        var right = QrDecomposition.Of(GradientCheck.Leaf(2, Shape.Of(5, 5), requiresGrad: false)).Q;
        var matrix = left.Mul(Tensor.From(expected, Shape.Of(5))).MatMul(right, transposeB: true);
        var found = SingularValues.Of(matrix).Values;
        // F32 rounding of the matrix itself is 6e-8 of its largest entries, here about 500.
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], found[i], 1e-4f);
    }

    [Fact]
    public void ThreadsChangeNoBit()
    {
        using var scope = TensorScope.Begin();
        var matrix = Matrix(50, 30, 30);
        var threads = Workers.Count;
        try
        {
            Workers.Count = 1;
            var one = SingularValues.Of(matrix).U.ToArray();
            Workers.Count = 3;
            Assert.Equal(one, SingularValues.Of(matrix).U.ToArray());
        }
        finally
        {
            Workers.Count = threads;
        }
    }

    [Fact]
    public void WhatIsNoMatrixIsRefused()
    {
        using var scope = TensorScope.Begin();
        Assert.Contains("a matrix on the CPU", Assert.Throws<ArgumentException>(
            () => SingularValues.Of(Tensor.Zeros(Shape.Of(3)))).Message);
        Assert.Contains("a matrix on the CPU", Assert.Throws<ArgumentException>(
            () => QrDecomposition.Of(Tensor.Zeros(Shape.Of(0, 3)))).Message);
    }

    private static Tensor Matrix(int m, int n, int rank)
    {
        if (rank == Math.Min(m, n))
            return GradientCheck.Leaf(m + n, Shape.Of(m, n), requiresGrad: false);
        return GradientCheck.Leaf(m, Shape.Of(m, rank), requiresGrad: false)
            .MatMul(GradientCheck.Leaf(n, Shape.Of(rank, n), requiresGrad: false));
    }

    private static void AssertOrthonormal(Tensor columns)
    {
        var k = columns.Shape[1];
        var products = columns.MatMul(columns, transposeA: true).ToArray();
        for (var i = 0; i < products.Length; i++)
            Assert.Equal(i % (k + 1) == 0 ? 1.0 : 0.0, products[i], Tolerance);
    }

    private static void AssertNear(Tensor expected, Tensor actual)
    {
        var (x, y) = (expected.ToArray(), actual.ToArray());
        var norm = Math.Sqrt(x.Sum(v => (double)v * v));
        var error = Math.Sqrt(x.Zip(y, (a, b) => ((double)a - b) * ((double)a - b)).Sum());
        Assert.True(error <= Tolerance * norm, $"{error} of {norm}");
    }
}
