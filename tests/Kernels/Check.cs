using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

/// <summary>Comparisons of float results with double-precision oracles.</summary>
internal static class Check
{
    private static readonly Lock Gate = new();

    /// <summary>|expected - actual| within absolute + relative |expected|, element by element.</summary>
    public static void Close(
        ReadOnlySpan<double> expected, ReadOnlySpan<float> actual, double relative = 2e-6, double absolute = 1e-6)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
        {
            var error = Math.Abs(expected[i] - actual[i]);
            if (!(error <= absolute + relative * Math.Abs(expected[i])))
                Assert.Fail($"element {i}: expected {expected[i]:R}, got {actual[i]:R}, off by {error:E2}");
        }
    }

    /// <summary>Central differences in double: exact to about 1e-9 for functions of order one.</summary>
    public static double[] Gradient(Func<double[], double> loss, double[] at, double step = 1e-5)
    {
        var gradient = new double[at.Length];
        for (var i = 0; i < at.Length; i++)
        {
            var keep = at[i];
            at[i] = keep + step;
            var above = loss(at);
            at[i] = keep - step;
            var below = loss(at);
            at[i] = keep;
            gradient[i] = (above - below) / (2 * step);
        }
        return gradient;
    }

    /// <summary>Weighted sum of outputs: the loss whose gradient a backward kernel gives for dy = weights.</summary>
    public static double Dot(ReadOnlySpan<double> weights, ReadOnlySpan<double> values)
    {
        var sum = 0.0;
        for (var i = 0; i < weights.Length; i++)
            sum += weights[i] * values[i];
        return sum;
    }

    /// <summary>base + values: what an accumulating kernel must leave.</summary>
    public static double[] Plus(ReadOnlySpan<double> values, double add)
    {
        var sum = values.ToArray();
        for (var i = 0; i < sum.Length; i++)
            sum[i] += add;
        return sum;
    }

    /// <summary>Runs with one thread and with two and compares all bits.</summary>
    public static void SameForAnyThreadCount(Func<float[]> run)
    {
        lock (Gate)
        {
            var before = Workers.Count;
            try
            {
                Workers.Count = 1;
                var one = run();
                Workers.Count = 2;
                var two = run();
                Workers.Count = 5;
                var five = run();
                for (var i = 0; i < one.Length; i++)
                {
                    Assert.Equal(BitConverter.SingleToInt32Bits(one[i]), BitConverter.SingleToInt32Bits(two[i]));
                    Assert.Equal(BitConverter.SingleToInt32Bits(one[i]), BitConverter.SingleToInt32Bits(five[i]));
                }
            }
            finally
            {
                Workers.Count = before;
            }
        }
    }
}
