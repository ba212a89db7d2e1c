using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

/// <summary>
/// Compares an op on BF16 tensors with its formula in double precision, and its gradients with central differences of
/// that formula, which are exact to about 1e-8. A BF16 value has 8 bits: a result rounded once is off by at most 1/256
/// of itself. What a backward body keeps in BF16 is rounded once more, so gradients get 1/128.
/// </summary>
internal static class Bf16Check
{
    private const double Step = 1e-4;

    /// <summary>Checks output, gradients, and that a second backward adds; every input is BF16.</summary>
    public static void Run(
        Func<Tensor[], Tensor> op, Func<double[][], double[]> formula, params ReadOnlySpan<Shape> shapes)
    {
        var leaves = new Tensor[shapes.Length];
        for (var i = 0; i < leaves.Length; i++)
            leaves[i] = OpCheck.Bf16Leaf(i + 1, shapes[i].Dims);
        Run(op, formula, leaves);
    }

    /// <summary>The same for leaves of any type.</summary>
    public static void Run(Func<Tensor[], Tensor> op, Func<double[][], double[]> formula, Tensor[] leaves)
    {
        double[][] at = Array.ConvertAll(leaves, leaf => Array.ConvertAll(leaf.ToArray(), v => (double)v));
        var expected = formula(at);
        var y = op(leaves);
        Close("output", expected, y.ToArray(), 1.0 / 256);
        var seed = y.DType == DType.BF16
            ? OpCheck.Bf16Leaf(99, y.Shape.Dims)
            : GradientCheck.Leaf(99, y.Shape, requiresGrad: false);
        var weights = seed.ToArray();
        y.Backward(seed);
        var gradients = new double[leaves.Length][];
        for (var i = 0; i < leaves.Length; i++)
        {
            gradients[i] = Gradient(formula, at, i, weights);
            Assert.Equal(leaves[i].DType, leaves[i].Grad!.DType);
            Close($"gradient {i}", gradients[i], leaves[i].Grad!.ToArray(), 1.0 / 128);
        }
        op(leaves).Backward(seed);
        for (var i = 0; i < leaves.Length; i++)
        {
            Close(
                $"two gradients {i}", Array.ConvertAll(gradients[i], g => 2 * g), leaves[i].Grad!.ToArray(), 1.0 / 64);
        }
    }

    private static double[] Gradient(Func<double[][], double[]> formula, double[][] at, int input, float[] weights)
    {
        var gradient = new double[at[input].Length];
        for (var i = 0; i < gradient.Length; i++)
        {
            var value = at[input][i];
            at[input][i] = value + Step;
            var above = formula(at);
            at[input][i] = value - Step;
            var below = formula(at);
            at[input][i] = value;
            for (var k = 0; k < weights.Length; k++)
                gradient[i] += weights[k] * (above[k] - below[k]) / (2 * Step);
        }
        return gradient;
    }

    // Terms of order one that cancel leave the rounding of a term: a small absolute part.
    private static void Close(string what, double[] expected, float[] actual, double relative)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
        {
            var error = Math.Abs(expected[i] - actual[i]);
            Assert.True(
                error <= (relative * Math.Abs(expected[i])) + 2e-3,
                $"{what}[{i}]: expected {expected[i]:g6}, got {actual[i]:g6}");
        }
    }
}
