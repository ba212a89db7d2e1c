using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

[Collection("threads")]
public unsafe class AdamWKernelTests
{
    [Theory]
    [InlineData(1, 0.0)]
    [InlineData(37, 0.1)]
    [InlineData(40_003, 0.01)]
    public void FollowsTheDefinition(int n, double decay)
    {
        using var p = Floats.Random(n, 1);
        using var m = Floats.Of(new float[n]);
        using var v = Floats.Of(new float[n]);
        double[] ep = p.Doubles(), em = new double[n], ev = new double[n];
        const double lr = 1e-2, b1 = 0.9, b2 = 0.999, eps = 1e-8, clip = 0.5;
        for (var step = 1; step <= 5; step++)
        {
            using var g = Floats.Random(n, 10 + step);
            AdamWKernel.Step(p.P, g.P, m.P, v.P, n, new AdamWStep(lr, b1, b2, eps, decay, step, clip));
            for (var i = 0; i < n; i++)
            {
                var grad = g[i] * clip;
                ep[i] *= 1 - lr * decay;
                em[i] = b1 * em[i] + (1 - b1) * grad;
                ev[i] = b2 * ev[i] + (1 - b2) * grad * grad;
                var mHat = em[i] / (1 - Math.Pow(b1, step));
                var vHat = ev[i] / (1 - Math.Pow(b2, step));
                ep[i] -= lr * mHat / (Math.Sqrt(vHat) + eps);
            }
        }
        Check.Close(ep, p.Span, 1e-6, 1e-6);
        Check.Close(em, m.Span, 1e-6, 1e-7);
        Check.Close(ev, v.Span, 1e-5, 1e-10);
    }

    // As in PyTorch: infinity over infinity is NaN as well.
    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void AGradientThatIsNotFinite_ShowsInItsParameter_AndInNoOther(float value)
    {
        const int n = 45;
        for (var at = 0; at < n; at++)
        {
            using var p = Floats.Random(n, 1);
            using var g = Floats.Random(n, 2);
            using var m = Floats.Of(new float[n]);
            using var v = Floats.Of(new float[n]);
            g.Span[at] = value;
            AdamWKernel.Step(p.P, g.P, m.P, v.P, n, new AdamWStep(1e-2, 0.9, 0.999, 1e-8, 0.1, 1));
            for (var i = 0; i < n; i++)
                Assert.Equal(i == at, float.IsNaN(p[i]));
        }
    }

    [Fact]
    public void SameForAnyThreadCount() => Check.SameForAnyThreadCount(() =>
    {
        using var p = Floats.Random(100_003, 1);
        using var g = Floats.Random(100_003, 2);
        using var m = Floats.Of(new float[100_003]);
        using var v = Floats.Of(new float[100_003]);
        AdamWKernel.Step(p.P, g.P, m.P, v.P, p.Length, new AdamWStep(1e-3, 0.9, 0.999, 1e-8, 0.1, 1));
        return [.. p.Span, .. m.Span, .. v.Span];
    });
}
