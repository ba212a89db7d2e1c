using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

[Collection("threads")]
public unsafe class CopyTests
{
    [Fact]
    public void EmbeddingGathersAndScatters()
    {
        const int vocabulary = 11, cols = 131, rows = 200;
        using var table = Floats.Random(vocabulary * cols, 1);
        using var dy = Floats.Random(rows * cols, 2);
        using var y = new Floats(rows * cols);
        using var dtable = Floats.Random(vocabulary * cols, 3);
        var random = new Random(4);
        var ids = new int[rows];
        for (var r = 0; r < rows; r++)
            ids[r] = random.Next(vocabulary - 1);
        var expected = new double[vocabulary * cols];
        for (var i = 0; i < rows * cols; i++)
            expected[ids[i / cols] * cols + i % cols] += dy[i];
        fixed (int* p = ids)
        {
            EmbeddingKernel.Forward(table.P, p, y.P, rows, cols);
            for (var i = 0; i < y.Length; i++)
                Assert.Equal(table[ids[i / cols] * cols + i % cols], y[i]);
            EmbeddingKernel.Backward(dy.P, p, dtable.P, rows, vocabulary, cols);
            Check.Close(expected, dtable.Span, 1e-6, 1e-5);
            EmbeddingKernel.Backward(dy.P, p, dtable.P, rows, vocabulary, cols, accumulate: true);
            Check.Close(Array.ConvertAll(expected, v => 2 * v), dtable.Span, 1e-6, 2e-5);
        }
    }

    [Theory]
    [InlineData(7, 3, 2, 5)]
    [InlineData(300, 300, 0, 3)]
    [InlineData(1000, 1, 999, 40)]
    [InlineData(40_000, 17_000, 16_000, 2)] // over several pieces of a row
    [InlineData(40_000, 100, 0, 1)]
    [InlineData(40_000, 100, 39_900, 1)]
    [InlineData(40_000, 0, 5, 1)]
    public void PadWritesEveryElement(int width, int length, int start, int rows)
    {
        using var from = Floats.Random(rows * length, 1);
        using var to = new Floats(rows * width);
        BlockCopyKernel.Pad(from.P, length, to.P, width, start, rows);
        for (var i = 0; i < to.Length; i++)
        {
            var at = i % width - start;
            Assert.Equal(at >= 0 && at < length ? from[i / width * length + at] : 0f, to[i]);
        }
    }

    [Theory]
    [InlineData(new[] { 5, 7 }, new[] { 1, 0 })]
    [InlineData(new[] { 64, 33 }, new[] { 1, 0 })]
    [InlineData(new[] { 131, 257 }, new[] { 1, 0 })]
    [InlineData(new[] { 2, 9, 3, 8 }, new[] { 0, 2, 1, 3 })]
    [InlineData(new[] { 2, 9, 3, 8 }, new[] { 0, 2, 3, 1 })]
    [InlineData(new[] { 2, 9, 1, 8 }, new[] { 3, 2, 1, 0 })]
    [InlineData(new[] { 2, 3, 4, 5, 6, 7 }, new[] { 5, 0, 3, 1, 4, 2 })]
    [InlineData(new[] { 2, 3, 4, 5, 6, 7 }, new[] { 0, 1, 2, 3, 4, 5 })]
    [InlineData(new[] { 1, 1 }, new[] { 1, 0 })]
    [InlineData(new[] { 3, 0, 2 }, new[] { 2, 0, 1 })]
    public void Permute(int[] dims, int[] order)
    {
        var n = ElementwiseTests.Count(dims);
        using var x = Floats.Random(n, 1);
        using var y = new Floats(n);
        PermuteKernel.Run(x.P, dims, order, y.P);
        var expected = new double[n];
        for (var i = 0; i < n; i++)
        {
            // Coordinates of y's element i, carried to x axis by axis.
            var rest = i;
            var at = new int[dims.Length];
            for (var d = dims.Length - 1; d >= 0; d--)
            {
                at[order[d]] = rest % dims[order[d]];
                rest /= dims[order[d]];
            }
            var from = 0;
            for (var d = 0; d < dims.Length; d++)
                from = from * dims[d] + at[d];
            expected[i] = x[from];
        }
        Check.Close(expected, y.Span, 0, 0);
        PermuteKernel.Run(x.P, dims, order, y.P, accumulate: true);
        Check.Close(Array.ConvertAll(expected, v => 2 * v), y.Span, 0, 0);
    }

    [Theory]
    [InlineData(3, 5, 20, 7)]
    [InlineData(2, 20_000, 30_001, 3)]
    public void BlocksOfASlice(int blocks, int length, int stride, int offset)
    {
        using var x = Floats.Random(blocks * stride + offset, 1);
        using var y = new Floats(blocks * length);
        BlockCopyKernel.Run(x.P + offset, stride, y.P, length, blocks, length);
        for (var i = 0; i < y.Length; i++)
            Assert.Equal(x[offset + i / length * stride + i % length], y[i]);
        using var back = x.Copy();
        BlockCopyKernel.Run(y.P, length, back.P + offset, stride, blocks, length, accumulate: true);
        for (var i = 0; i < y.Length; i++)
            Assert.Equal(2 * y[i], back[offset + i / length * stride + i % length]);
    }

    [Fact]
    public void SameForAnyThreadCount() => Check.SameForAnyThreadCount(() =>
    {
        using var x = Floats.Random(400 * 257, 1);
        using var y = new Floats(x.Length);
        using var table = new Floats(5 * 257);
        PermuteKernel.Run(x.P, [400, 257], [1, 0], y.P);
        var ids = new int[400];
        for (var i = 0; i < ids.Length; i++)
            ids[i] = i % 5;
        fixed (int* p = ids)
            EmbeddingKernel.Backward(y.P, p, table.P, 400, 5, 257);
        return [.. y.Span, .. table.Span];
    });
}
