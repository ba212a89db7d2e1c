using CudaLora.Engine;
using CudaLora.Lora;
using CudaLora.Tests.Ops;

namespace CudaLora.Tests.Lora;

public class LowRankTests
{
    // Singular values 8, 4, 2, 1 and below: the best product of rank 4 leaves exactly the rest.
    [Theory]
    [InlineData(20, 33)]
    [InlineData(50, 12)]
    public void Factor_KeepsTheLargestSingularValues(int n, int k)
    {
        using var scope = TensorScope.Begin();
        var (left, right) = (Orthonormal(1, n), Orthonormal(2, k));
        double[] sigma = [8, 4, 2, 1, 0.25, 0.125];
        var matrix = Tensor.Zeros(Shape.Of(n, k));
        for (var i = 0; i < n * k; i++)
            matrix.Span<float>()[i] = (float)sigma.Select((s, j) => s * left[j][i / k] * right[j][i % k]).Sum();
        var (a, b) = (Tensor.Zeros(Shape.Of(4, k)), Tensor.Zeros(Shape.Of(n, 4)));
        LowRank.Factor(matrix, a, b, new Generator(3));
        double squares = 0;
        for (var i = 0; i < n * k; i++)
        {
            double rest = matrix.Span<float>()[i];
            for (var j = 0; j < 4; j++)
                rest -= (double)b.Span<float>()[(i / k * 4) + j] * a.Span<float>()[(j * k) + (i % k)];
            squares += rest * rest;
        }
        Assert.Equal(Math.Sqrt((0.25 * 0.25) + (0.125 * 0.125)), Math.Sqrt(squares), 1e-4);
        // Both factors carry the root of the singular value.
        for (var j = 0; j < 4; j++)
        {
            Assert.Equal(sigma[j], a.ToArray().Skip(j * k).Take(k).Sum(v => (double)v * v), 1e-4);
            Assert.Equal(sigma[j], Enumerable.Range(0, n).Sum(i => Math.Pow(b.ToArray()[(i * 4) + j], 2)), 1e-4);
        }
    }

    [Fact]
    public void MoreRankThanThereIs_IsFilledWithZeros()
    {
        using var scope = TensorScope.Begin();
        var matrix = OpCheck.Leaf(1, 3, 5);
        var (a, b) = (Tensor.Zeros(Shape.Of(8, 5)), Tensor.Zeros(Shape.Of(3, 8)));
        LowRank.Factor(matrix, a, b, new Generator(3));
        QuantizedLinearTests.Near(matrix.ToArray(), b.MatMul(a).ToArray());
        Assert.All(a.ToArray()[15..], v => Assert.Equal(0, v));
    }

    private static double[][] Orthonormal(int seed, int width)
    {
        var rows = new double[6][];
        var draw = new Random(seed);
        for (var i = 0; i < rows.Length; i++)
        {
            rows[i] = [.. Enumerable.Range(0, width).Select(_ => draw.NextDouble() - 0.5)];
            foreach (var other in rows[..i])
            {
                var share = rows[i].Zip(other, (x, y) => x * y).Sum();
                rows[i] = [.. rows[i].Zip(other, (x, y) => x - (share * y))];
            }
            var norm = Math.Sqrt(rows[i].Sum(x => x * x));
            rows[i] = [.. rows[i].Select(x => x / norm)];
        }
        return rows;
    }
}
