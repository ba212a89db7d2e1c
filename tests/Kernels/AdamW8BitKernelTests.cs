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

    // Codes are a staircase of the value: the ends of every bin and both sides of every border fix it. And a stride.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Codes_AreThoseOfTheSearch(bool signed)
    {
        var map = signed ? QuantTables.SignedDynamic : QuantTables.UnsignedDynamic;
        var values = new List<float>();
        for (var bits = 0; bits <= 0x3F800003; bits += Math.Clamp(65535 - (bits % 65536), 1, 577))
            values.Add(BitConverter.Int32BitsToSingle(bits));
        for (var i = 0; i < 255; i++)
        {
            var near = Math.Abs((map[i] + map[i + 1]) * 0.5f);
            for (var step = -3; step <= 3; step++)
                values.Add(BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(near) + step));
        }
        if (signed)
            values.AddRange(values.ConvertAll(x => -x));
        var x = values.ToArray();
        var codes = new byte[x.Length];
        fixed (float* from = x, table = map)
        fixed (byte* to = codes)
        {
            (signed ? DynamicCodes.Signed : DynamicCodes.Unsigned).Encode(from, x.Length, to);
            var wrong = 0;
            for (var i = 0; i < x.Length; i++)
            {
                var code = DynamicQuantize.Code(x[i], table);
                wrong += codes[i] == (signed && float.IsNegative(x[i]) ? Math.Min(code, 126) : code) ? 0 : 1;
            }
            Assert.Equal(0, wrong);
        }
    }

    // One value at a time, as the formula is written: the same bits, wherever a vector ends and whatever the gradient.
    [Theory]
    [InlineData(1)]
    [InlineData(255)]
    [InlineData(20_011)]
    public void Bits_AreThoseOfThePlainLoop(int n)
    {
        State state = New(Nf4Tests.Normal(n, 1)), plain = New([.. state.P]);
        for (var t = 1; t <= 8; t++)
        {
            var g = Nf4Tests.Normal(n, (ulong)t + 3);
            for (var i = 0; i < n; i++)
            {
                g[i] *= MathF.Pow(10, (i / 3 % 11) - 8);
                g[i] = ((long)i * t % 1009) switch
                {
                    3 => 0,
                    5 => -0f,
                    7 => float.NaN,
                    11 => float.NegativeInfinity,
                    _ => g[i],
                };
                // Blocks of zeros, of subnormals, and one whose second moment overflows.
                g[i] = (i / 256) switch { 5 => 0, 6 => g[i] * 1e-40f, 7 => g[i] * 1e-25f, _ => g[i] };
            }
            if (n > 3000)
                (g[2048], g[2049], g[2304]) = (1e30f, -1e30f, t == 2 ? -3e38f : 1);
            var step = new AdamWStep(0.01, 0.9, 0.999, 1e-8, 0.1, t, t == 3 ? 0.7 : 1);
            Step(state, g, step);
            PlainStep(plain, g, step);
            Assert.Equal(Array.ConvertAll(plain.P, BitConverter.SingleToInt32Bits),
                Array.ConvertAll(state.P, BitConverter.SingleToInt32Bits));
            Assert.Equal(plain.MScale, state.MScale);
            Assert.Equal(plain.VScale, state.VScale);
            Assert.True(plain.M.AsSpan().SequenceEqual(state.M), $"codes of m, step {t}");
            Assert.True(plain.V.AsSpan().SequenceEqual(state.V), $"codes of v, step {t}");
        }
    }

    private static void PlainStep(State state, float[] gradient, AdamWStep step)
    {
        float beta1 = (float)step.Beta1, beta2 = (float)step.Beta2, scale = (float)step.GradientScale;
        var root = Math.Sqrt(1 - Math.Pow(step.Beta2, step.Step));
        var rate = (float)(-step.LearningRate * root / (1 - Math.Pow(step.Beta1, step.Step)));
        float epsilon = (float)(step.Epsilon * root), keep = (float)(1 - (step.LearningRate * step.WeightDecay));
        float[] m = new float[gradient.Length], v = new float[gradient.Length];
        fixed (float* signed = QuantTables.SignedDynamic, unsigned = QuantTables.UnsignedDynamic)
        {
            for (var first = 0; first < m.Length; first += 256)
            {
                var (block, end) = (first / 256, Math.Min(first + 256, m.Length));
                float most1 = 0, most2 = 0;
                for (var i = first; i < end; i++)
                {
                    var g = gradient[i] * scale;
                    if (float.IsFinite(g))
                    {
                        m[i] = (beta1 * signed[state.M[i]] * state.MScale[block]) + ((1 - beta1) * g);
                        v[i] = (beta2 * unsigned[state.V[i]] * state.VScale[block]) + ((1 - beta2) * g * g);
                        state.P[i] = (state.P[i] + (rate * m[i] / (MathF.Sqrt(v[i]) + epsilon))) * keep;
                    }
                    (most1, most2) = (Math.Max(most1, Math.Abs(m[i])), Math.Max(most2, v[i]));
                }
                (state.MScale[block], state.VScale[block]) = (most1, most2);
                for (var i = first; i < end; i++)
                {
                    var code = DynamicQuantize.Code(m[i] * (1 / Math.Max(most1, 1e-38f)), signed);
                    if (float.IsNegative(signed[code]) != float.IsNegative(m[i]))
                        code += m[i] > 0 ? 1 : -1;
                    state.M[i] = (byte)Math.Clamp(code, 0, 255);
                    state.V[i] = (byte)DynamicQuantize.Code(v[i] * (1 / Math.Max(most2, 1e-38f)), unsigned);
                }
            }
        }
    }

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
