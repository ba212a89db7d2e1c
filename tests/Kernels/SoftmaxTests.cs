using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

[Collection("threads")]
public unsafe class SoftmaxTests
{
    private static double[] LogSoftmax(double[] x, int cols)
    {
        var y = new double[x.Length];
        for (var start = 0; start < x.Length; start += cols)
        {
            var row = x.AsSpan(start, cols);
            double max = double.NegativeInfinity, sum = 0;
            foreach (var v in row)
                max = Math.Max(max, v);
            foreach (var v in row)
                sum += Math.Exp(v - max);
            for (var c = 0; c < cols; c++)
                y[start + c] = row[c] - max - Math.Log(sum);
        }
        return y;
    }

    private static double[] Softmax(double[] x, int cols) => Array.ConvertAll(LogSoftmax(x, cols), Math.Exp);

    [Theory]
    [InlineData(1, 1)]
    [InlineData(3, 7)]
    [InlineData(5, 40)]
    [InlineData(2, 67)]
    public void ForwardAndBackward(int rows, int cols)
    {
        using var x = Floats.Random(rows * cols, 1, -8f, 8f);
        using var dy = Floats.Random(rows * cols, 2);
        using var y = new Floats(rows * cols);
        using var dx = new Floats(rows * cols);
        double[] xs = x.Doubles(), g = dy.Doubles();

        SoftmaxKernel.Forward(x.P, y.P, rows, cols);
        SoftmaxKernel.Backward(y.P, dy.P, dx.P, rows, cols);
        Check.Close(Softmax(xs, cols), y.Span, 2e-6, 1e-9);
        var expected = Check.Gradient(v => Check.Dot(g, Softmax(v, cols)), xs);
        Check.Close(expected, dx.Span, 1e-5, 1e-6);
        dx.Span.Fill(1f);
        SoftmaxKernel.Backward(y.P, dy.P, dx.P, rows, cols, accumulate: true);
        Check.Close(Check.Plus(expected, 1), dx.Span, 1e-5, 1e-6);

        SoftmaxKernel.LogForward(x.P, y.P, rows, cols);
        SoftmaxKernel.LogBackward(y.P, dy.P, dx.P, rows, cols);
        Check.Close(LogSoftmax(xs, cols), y.Span, 1e-6, 1e-6);
        expected = Check.Gradient(v => Check.Dot(g, LogSoftmax(v, cols)), xs);
        Check.Close(expected, dx.Span, 1e-5, 1e-5);
    }

    [Fact]
    public void LongRowsCrossTheBlocks()
    {
        const int cols = 10_007;
        using var x = Floats.Random(cols, 1, -8f, 8f);
        x.Span[9000] = 60f;
        using var y = new Floats(cols);
        SoftmaxKernel.LogForward(x.P, y.P, 1, cols);
        Check.Close(LogSoftmax(x.Doubles(), cols), y.Span, 1e-6, 1e-5);
    }

    [Fact]
    public void InfinitiesAndHugeValues()
    {
        using var x = Floats.Of(1e4f, float.NegativeInfinity, 1e4f - 1f, -1e30f);
        using var y = new Floats(4);
        SoftmaxKernel.Forward(x.P, y.P, 1, 4);
        Assert.Equal(1 / (1 + Math.Exp(-1)), y[0], 1e-6);
        Assert.Equal(0f, y[1]);
        Assert.Equal(0f, y[3]);
    }

    [Theory]
    [InlineData(4, 9)]
    [InlineData(3, 5003)]
    public void CrossEntropyTurnsLogitsIntoTheirGradient(int rows, int cols)
    {
        using var x = Floats.Random(rows * cols, 1, -5f, 5f);
        using var work = x.Copy();
        using var loss = new Floats(rows);
        var labels = new int[rows];
        for (var r = 0; r < rows; r++)
            labels[r] = r == 1 ? CrossEntropyKernel.Ignored : (r * 31 + 7) % cols;
        var valid = rows - 1;
        double[] log = LogSoftmax(x.Doubles(), cols), gradient = new double[rows * cols], losses = new double[rows];
        for (var r = 0; r < rows; r++)
        {
            if (r == 1)
                continue;
            losses[r] = -log[r * cols + labels[r]];
            for (var c = 0; c < cols; c++)
                gradient[r * cols + c] = (Math.Exp(log[r * cols + c]) - (c == labels[r] ? 1 : 0)) / valid;
        }
        fixed (int* p = labels)
        {
            Assert.Equal(valid, CrossEntropyKernel.Valid(p, rows));
            CrossEntropyKernel.Run(work.P, p, loss.P, rows, cols, 1f / valid, gradient: false);
            Assert.Equal(x.Span.ToArray(), work.Span.ToArray());
            Check.Close(losses, loss.Span, 1e-6, 1e-6);
            CrossEntropyKernel.Run(work.P, p, loss.P, rows, cols, 1f / valid, gradient: true);
        }
        Check.Close(losses, loss.Span, 1e-6, 1e-6);
        Check.Close(gradient, work.Span, 2e-6, 1e-7);
    }

    [Fact]
    public void CrossEntropyShowsNaN()
    {
        using var x = Floats.Random(40, 1);
        x.Span[17] = float.NaN;
        using var loss = new Floats(1);
        var label = 3;
        CrossEntropyKernel.Run(x.P, &label, loss.P, 1, 40, 1f, gradient: false);
        Assert.True(float.IsNaN(loss[0]));
    }

    [Fact]
    public void GatheredLogProbabilities()
    {
        const int rows = 5, cols = 37;
        using var x = Floats.Random(rows * cols, 1, -5f, 5f);
        using var dy = Floats.Random(rows, 2);
        using var y = new Floats(rows);
        using var lse = new Floats(rows);
        using var dx = new Floats(rows * cols);
        int[] labels = [0, 36, -100, 5, 5];
        fixed (int* p = labels)
        {
            GatherLogProbsKernel.Forward(x.P, p, y.P, lse.P, rows, cols);
            GatherLogProbsKernel.Backward(x.P, p, lse.P, dy.P, dx.P, rows, cols);
            double[] Oracle(double[] v)
            {
                var log = LogSoftmax(v, cols);
                var picked = new double[rows];
                for (var r = 0; r < rows; r++)
                    picked[r] = labels[r] < 0 ? 0 : log[r * cols + labels[r]];
                return picked;
            }
            Check.Close(Oracle(x.Doubles()), y.Span);
            var expected = Check.Gradient(v => Check.Dot(dy.Doubles(), Oracle(v)), x.Doubles());
            Check.Close(expected, dx.Span, 1e-5, 1e-6);
            dx.Span.Fill(1f);
            GatherLogProbsKernel.Backward(x.P, p, lse.P, dy.P, dx.P, rows, cols, accumulate: true);
            Check.Close(Check.Plus(expected, 1), dx.Span, 1e-5, 1e-6);
        }
    }

    [Fact]
    public void SameForAnyThreadCount() => Check.SameForAnyThreadCount(() =>
    {
        using var x = Floats.Random(300 * 333, 1);
        using var loss = new Floats(300);
        using var y = new Floats(x.Length);
        SoftmaxKernel.Forward(x.P, y.P, 300, 333);
        fixed (int* p = new int[300])
            CrossEntropyKernel.Run(x.P, p, loss.P, 300, 333, 1f, gradient: true);
        return [.. y.Span, .. x.Span, .. loss.Span];
    });
}
