using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

/// <summary>
/// Compares backward with central differences of the forward pass. The forward is F32, so a step of 1e-2 leaves about
/// 1e-5 of rounding and, for smooth ops, 1e-4 of curvature: the tolerance of 5e-3 relative to the gradient's scale
/// catches a wrong formula, while the double-precision oracles of the op tests catch a wrong digit.
/// </summary>
internal static class GradientCheck
{
    private const float Step = 1e-2f;
    private const double Tolerance = 5e-3;
    private const int Probes = 40;

    /// <summary>Checks the gradient of <paramref name="f"/> at every input that requires one.</summary>
    public static void Run(Func<Tensor> f, params Tensor[] inputs)
    {
        var random = new Random(7);
        float[] seed;
        using (var scope = TensorScope.Begin())
        {
            var y = f();
            seed = RandomValues(random, (int)y.Count);
            foreach (var input in inputs)
                input.ZeroGrad();
            y.Backward(Tensor.From(seed, y.Shape));
        }
        foreach (var input in inputs.Where(i => i.RequiresGrad))
        {
            var analytic = input.Grad!.ToArray();
            var scale = 1e-2 + analytic.Max(Math.Abs);
            foreach (var i in Enumerable.Range(0, analytic.Length).OrderBy(_ => random.Next()).Take(Probes))
            {
                var numeric = Difference(f, input, i, seed);
                Assert.True(
                    Math.Abs(numeric - analytic[i]) <= Tolerance * scale,
                    $"gradient of {input.Name ?? "input"} {input.Shape} at {i}: backward {analytic[i]:g6}, difference {numeric:g6}");
            }
        }
    }

    /// <summary>A leaf of standard normal values times <paramref name="scale"/>.</summary>
    public static Tensor Leaf(int seed, Shape shape, float scale = 1, bool requiresGrad = true, string? name = null)
    {
        var leaf = Tensor.From(Array.ConvertAll(Values(seed, shape), v => v * scale), shape);
        leaf.RequiresGrad = requiresGrad;
        leaf.Name = name;
        return leaf;
    }

    /// <summary>Standard normal values, the same for the same seed.</summary>
    public static float[] Values(int seed, Shape shape) => RandomValues(new Random(seed), (int)shape.Count);

    private static double Difference(Func<Tensor> f, Tensor input, int i, float[] seed)
    {
        var values = input.ToArray();
        var at = values[i];
        // The step that F32 really takes, so that the quotient is exact.
        float up = at + Step, down = at - Step;
        Put(up);
        var high = Projected(f, seed);
        Put(down);
        var low = Projected(f, seed);
        Put(at);
        return (high - low) / ((double)up - down);

        void Put(float value)
        {
            values[i] = value;
            input.CopyFrom(values);
        }
    }

    private static double Projected(Func<Tensor> f, float[] seed)
    {
        using var scope = TensorScope.Begin();
        using var mode = GradMode.NoGrad();
        var y = f().ToArray();
        double sum = 0;
        for (var i = 0; i < seed.Length; i++)
            sum += (double)seed[i] * y[i];
        return sum;
    }

    private static float[] RandomValues(Random random, int count)
    {
        var values = new float[count];
        for (var i = 0; i < count; i++)
        {
            var radius = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble()));
            values[i] = (float)(radius * Math.Cos(2 * Math.PI * random.NextDouble()));
        }
        return values;
    }
}
