using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

public unsafe class AdamW8BitKernelTests
{
    private readonly record struct State(float[] P, byte[] M, float[] MScale, byte[] V, float[] VScale);

    // The figures of bitsandbytes' own test: 50 steps of gradients 0.01 N(0, 1), compared with AdamW in double.
    [Theory]
    [InlineData(0)]
    [InlineData(0.1)]
    public void FiftySteps_StayNearAdamW(double decay)
    {
        const int n = 1024 * 16;
        var state = New(Nf4Tests.Normal(n, 1));
        var p = Array.ConvertAll(state.P, v => (double)v);
        double[] m = new double[n], v = new double[n];
        for (var t = 1; t <= 50; t++)
        {
            var g = Array.ConvertAll(Nf4Tests.Normal(n, (ulong)t + 10), x => 0.01f * x);
            Step(state, g, new AdamWStep(1e-3, 0.9, 0.995, 1e-8, decay, t));
            for (var i = 0; i < n; i++)
            {
                m[i] = (0.9 * m[i]) + (0.1 * g[i]);
                v[i] = (0.995 * v[i]) + (0.005 * g[i] * g[i]);
                p[i] -= 1e-3 / (1 - Math.Pow(0.9, t)) * m[i] / (Math.Sqrt(v[i] / (1 - Math.Pow(0.995, t))) + 1e-8);
                p[i] *= 1 - (1e-3 * decay);
            }
            var error = p.Zip(state.P, (x, y) => Math.Abs(x - y)).Average();
            // As there: of a step of 1e-3 the mean error is below 6e-5; the parameters then start level again.
            Assert.True(error < 6e-5, $"step {t}: mean error {error:g3}");
            for (var i = 0; i < n; i++)
                state.P[i] = (float)p[i];
        }
    }

    [Fact]
    public void FirstStep_FollowsTheSignOfTheGradient()
    {
        var state = New(new float[300]);
        var g = Enumerable.Range(0, 300).Select(i => i % 3 == 0 ? 0 : (i % 2 == 0 ? 1f : -1f) * (i + 1)).ToArray();
        Step(state, g, new AdamWStep(0.01, 0.9, 0.999, 1e-8, 0, 1));
        for (var i = 0; i < 300; i++)
            Assert.Equal(-0.01f * Math.Sign(g[i]), state.P[i], 1e-6f);
        // The largest of a block is its scale, and coded as 1 or as the entry next to -1.
        Assert.Equal(0.1f * g[..256].Max(Math.Abs), state.MScale[0], 1e-4f);
        Assert.All(Enumerable.Range(0, 300), i => Assert.True(
            Math.Sign(g[i]) == Math.Sign(QuantTables.SignedDynamic[state.M[i]]) || g[i] == 0));
    }

    [Fact]
    public void AGradientThatIsNotFinite_LeavesItsParameter()
    {
        var state = New([.. Enumerable.Repeat(1f, 256)]);
        var g = Enumerable.Repeat(1f, 256).ToArray();
        (g[3], g[200]) = (float.NaN, float.PositiveInfinity);
        Step(state, g, new AdamWStep(0.01, 0.9, 0.999, 1e-8, 0.1, 1));
        Assert.Equal((1f, 1f), (state.P[3], state.P[200]));
        Assert.All(state.P, p => Assert.True(float.IsFinite(p)));
        Assert.Equal(254, state.P.Count(p => p < 1));
        Assert.Equal(0f, QuantTables.SignedDynamic[state.M[3]]);
        Assert.Equal(0f, QuantTables.UnsignedDynamic[state.V[200]]);
    }

    [Fact]
    public void Bits_DoNotDependOnThreads() => Check.SameForAnyThreadCount(() =>
    {
        var state = New(Nf4Tests.Normal(20_000, 1));
        for (var t = 1; t < 4; t++)
            Step(state, Nf4Tests.Normal(20_000, (ulong)t), new AdamWStep(0.01, 0.9, 0.999, 1e-8, 0.1, t));
        return state.P;
    });

    private static State New(float[] p)
    {
        var blocks = (p.Length + 255) / 256;
        return new State(p, new byte[p.Length], new float[blocks], new byte[p.Length], new float[blocks]);
    }

    private static void Step(State state, float[] gradient, AdamWStep step)
    {
        fixed (float* p = state.P, g = gradient, ms = state.MScale, vs = state.VScale)
        fixed (byte* m = state.M, v = state.V)
            AdamW8BitKernel.Step(p, g, m, ms, v, vs, state.P.Length, step);
    }
}
