using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

/// <summary>
/// All paths against the definition in double precision. Inputs lie in [-1, 1] and probabilities sum to 1, so that
/// outputs are about 1 and float sums of up to 300 terms err by less than 2e-5. A gradient of k and v also sums over
/// queries and heads, up to about 1000 terms of size 1: 2e-4.
/// </summary>
public sealed unsafe class AttentionTests
{
    private const double ForwardTolerance = 2e-5;
    private const double GradientTolerance = 2e-4;

    public static TheoryData<SimdPath> Paths =>
        [SimdPath.Scalar, SimdPath.Vector128, SimdPath.Vector256, SimdPath.Vector512];

    [Theory]
    [MemberData(nameof(Paths))]
    public void MatchesTheDefinition(SimdPath path)
    {
        foreach (AttentionOracle oracle in Cases())
            Verify(path, oracle);
    }

    /// <summary>A short run of both forwards and the backward.</summary>
    internal static void VerifySome(SimdPath path)
    {
        foreach (int queries in new[] { 60, 1 })
            Verify(path, new() { Batch = 1, Queries = queries, Keys = 70, QueryHeads = 4, KeyHeads = 2, Size = 20 });
    }

    private static IEnumerable<AttentionOracle> Cases()
    {
        int[] segments = [.. Enumerable.Range(0, 2 * 130).Select(i => (i % 130) < 50 ? 0 : (i % 130) < 57 ? 1 : 2)];
        int[] mixed = [.. Enumerable.Range(0, 2 * 130).Select(i => i % 3)];
        yield return new() { Batch = 2, Queries = 130, Keys = 130, QueryHeads = 4, KeyHeads = 2, Size = 32 };
        yield return new() { Batch = 1, Queries = 47, Keys = 47, QueryHeads = 3, KeyHeads = 3, Size = 17 };
        yield return new() { Batch = 1, Queries = 70, Keys = 200, QueryHeads = 6, KeyHeads = 1, Size = 40 };
        yield return new()
        {
            Batch = 1,
            Queries = 65,
            Keys = 129,
            QueryHeads = 2,
            KeyHeads = 2,
            Size = 64,
            Causal = false,
        };
        yield return new()
        {
            Batch = 1,
            Queries = 130,
            Keys = 130,
            QueryHeads = 2,
            KeyHeads = 1,
            Size = 16,
            Window = 20,
        };
        yield return new()
        {
            Batch = 1,
            Queries = 80,
            Keys = 300,
            QueryHeads = 2,
            KeyHeads = 1,
            Size = 16,
            Window = 130,
        };
        yield return new() { Batch = 1, Queries = 9, Keys = 9, QueryHeads = 1, KeyHeads = 1, Size = 1 };
        yield return new() { Batch = 1, Queries = 50, Keys = 20, QueryHeads = 2, KeyHeads = 2, Size = 8 };
        yield return new()
        {
            Batch = 2,
            Queries = 130,
            Keys = 130,
            QueryHeads = 4,
            KeyHeads = 2,
            Size = 24,
            Segments = segments,
        };
        yield return new()
        {
            Batch = 2,
            Queries = 130,
            Keys = 130,
            QueryHeads = 2,
            KeyHeads = 2,
            Size = 8,
            Segments = mixed,
            Window = 40,
        };
        yield return new()
        {
            Batch = 3,
            Queries = 60,
            Keys = 60,
            QueryHeads = 2,
            KeyHeads = 1,
            Size = 16,
            Lengths = [60, 33, 0],
        };
        yield return new()
        {
            Batch = 3,
            Queries = 60,
            Keys = 70,
            QueryHeads = 2,
            KeyHeads = 1,
            Size = 16,
            Causal = false,
            Lengths = [1, 70, 49],
        };
        yield return new()
        {
            Batch = 2,
            Queries = 10,
            Keys = 90,
            QueryHeads = 2,
            KeyHeads = 1,
            Size = 16,
            Lengths = [30, 90],
            Starts = [20, 80],
        };
        foreach (int queries in new[] { 1, 3 })
        {
            yield return new()
            {
                Batch = 2,
                Queries = queries,
                Keys = 150,
                QueryHeads = 14,
                KeyHeads = 2,
                Size = 64,
                Lengths = [90, 150],
            };
            yield return new()
            {
                Batch = 1,
                Queries = queries,
                Keys = 150,
                QueryHeads = 5,
                KeyHeads = 5,
                Size = 21,
                Window = 33,
            };
        }
        yield return new()
        {
            Batch = 2,
            Queries = 2,
            Keys = 130,
            QueryHeads = 4,
            KeyHeads = 2,
            Size = 24,
            Segments = mixed,
        };
    }

    private static void Verify(SimdPath path, AttentionOracle oracle)
    {
        var random = new Random(7);
        float[] q = GemmTests.Values(random, oracle.QueryCount), k = GemmTests.Values(random, oracle.KeyCount);
        float[] v = GemmTests.Values(random, oracle.KeyCount), dy = GemmTests.Values(random, oracle.QueryCount);
        float[] y = new float[q.Length], lse = new float[oracle.Batch * oracle.QueryHeads * oracle.Queries];
        double[] expectedLse = new double[lse.Length];
        double[] expected = oracle.Forward(Wide(q), Wide(k), Wide(v), expectedLse);
        (double[] expectedQ, double[] expectedK, double[] expectedV) =
            oracle.Backward(Wide(q), Wide(k), Wide(v), Wide(dy));
        // Values that must be overwritten, then added to.
        float[] dq = Filled(q.Length), dk = Filled(k.Length), dv = Filled(k.Length);
        fixed (int* segments = oracle.Segments, lengths = oracle.Lengths, starts = oracle.Starts)
        fixed (float* pq = q, pk = k, pv = v, py = y, pl = lse, pdy = dy, pdq = dq, pdk = dk, pdv = dv)
        {
            AttentionShape shape = oracle.Shape(segments, lengths, starts);
            Attention.Forward(path, shape, pq, pk, pv, py, pl);
            AssertClose(expected, y, ForwardTolerance, $"{path} y, {oracle}");
            AssertClose(expectedLse, lse, ForwardTolerance, $"{path} lse, {oracle}");

            Attention.Backward(path, shape, pq, pk, pv, py, pl, pdy, pdq, false, pdk, false, pdv, false);
            AssertClose(expectedQ, dq, GradientTolerance, $"{path} dq, {oracle}");
            AssertClose(expectedK, dk, GradientTolerance, $"{path} dk, {oracle}");
            AssertClose(expectedV, dv, GradientTolerance, $"{path} dv, {oracle}");

            Attention.Backward(path, shape, pq, pk, pv, py, pl, pdy, pdq, true, null, false, null, false);
            Attention.Backward(path, shape, pq, pk, pv, py, pl, pdy, null, false, pdk, true, null, false);
            Attention.Backward(path, shape, pq, pk, pv, py, pl, pdy, null, false, null, false, pdv, true);
            AssertClose(Twice(expectedQ), dq, 2 * GradientTolerance, $"{path} twice dq, {oracle}");
            AssertClose(Twice(expectedK), dk, 2 * GradientTolerance, $"{path} twice dk, {oracle}");
            AssertClose(Twice(expectedV), dv, 2 * GradientTolerance, $"{path} twice dv, {oracle}");
        }
    }

    // The oracle's own gradient: a central difference of its forward, exact to about 1e-9 in double.
    [Fact]
    public void TheOracleAgreesWithFiniteDifferences()
    {
        var oracle = new AttentionOracle
        {
            Batch = 2,
            Queries = 5,
            Keys = 7,
            QueryHeads = 4,
            KeyHeads = 2,
            Size = 3,
            Window = 4,
            Segments = [0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1],
        };
        var random = new Random(3);
        double[] q = Wide(GemmTests.Values(random, oracle.QueryCount));
        double[] k = Wide(GemmTests.Values(random, oracle.KeyCount));
        double[] v = Wide(GemmTests.Values(random, oracle.KeyCount));
        double[] dy = Wide(GemmTests.Values(random, oracle.QueryCount));
        double[] lse = new double[oracle.Batch * oracle.QueryHeads * oracle.Queries];
        double Loss() => oracle.Forward(q, k, v, lse).Zip(dy, (a, b) => a * b).Sum();
        (double[] dq, double[] dk, double[] dv) = oracle.Backward(q, k, v, dy);
        foreach ((double[] x, double[] dx) in new[] { (q, dq), (k, dk), (v, dv) })
            for (int i = 0; i < x.Length; i++)
            {
                double old = x[i];
                x[i] = old + 1e-5;
                double up = Loss();
                x[i] = old - 1e-5;
                double down = Loss();
                x[i] = old;
                Assert.Equal((up - down) / 2e-5, dx[i], 1e-7);
            }
    }

    [Fact]
    public void KeysMayLieInALargerCache()
    {
        var oracle = new AttentionOracle
        {
            Batch = 2,
            Queries = 6,
            Keys = 40,
            QueryHeads = 4,
            KeyHeads = 2,
            Size = 16,
        };
        const int Capacity = 64, Gap = 5;
        int row = (oracle.KeyHeads * oracle.Size) + Gap;
        var random = new Random(7);
        float[] q = GemmTests.Values(random, oracle.QueryCount), k = GemmTests.Values(random, oracle.KeyCount);
        float[] v = GemmTests.Values(random, oracle.KeyCount);
        float[] cacheK = new float[2 * Capacity * row], cacheV = new float[2 * Capacity * row];
        Array.Fill(cacheK, float.NaN);
        Array.Fill(cacheV, float.NaN);
        for (int b = 0; b < 2; b++)
            for (int t = 0; t < oracle.Keys; t++)
            {
                int from = ((b * oracle.Keys) + t) * (row - Gap), to = ((b * Capacity) + t) * row;
                k.AsSpan(from, row - Gap).CopyTo(cacheK.AsSpan(to));
                v.AsSpan(from, row - Gap).CopyTo(cacheV.AsSpan(to));
            }
        double[] lse = new double[2 * 4 * 6];
        double[] expected = oracle.Forward(Wide(q), Wide(k), Wide(v), lse);
        foreach (int queries in new[] { 6, 1 })
        {
            float[] y = new float[2 * queries * 4 * 16], last = new float[y.Length];
            for (int b = 0; b < 2; b++)
                q.AsSpan((((b * 6) + 6 - queries) * 64), queries * 64).CopyTo(last.AsSpan(b * queries * 64));
            fixed (float* pq = last, pk = cacheK, pv = cacheV, py = y)
            {
                AttentionShape shape = oracle.Shape(null, null, null);
                shape.QueryLength = queries;
                shape.KeyBatchStride = Capacity * row;
                shape.KeyTimeStride = row;
                Attention.Forward(shape, pq, pk, pv, py, null);
            }
            for (int b = 0; b < 2; b++)
                AssertClose(
                    expected.AsSpan(((b * 6) + 6 - queries) * 64, queries * 64).ToArray(),
                    y.AsSpan(b * queries * 64, queries * 64).ToArray(), ForwardTolerance, $"{queries} queries");
        }
    }

    [Fact]
    public void LargeScoresDoNotOverflow()
    {
        float[] q = [.. Enumerable.Repeat(300f, 8 * 4)], k = [.. Enumerable.Repeat(300f, 8 * 4)];
        float[] v = GemmTests.Values(new Random(1), 8 * 4), y = new float[32], lse = new float[8];
        k[4 * 3] = 301; // key 3 wins by far from query 3 on
        fixed (float* pq = q, pk = k, pv = v, py = y, pl = lse)
            Attention.Forward(
                new AttentionShape
                {
                    Batch = 1,
                    QueryLength = 8,
                    KeyLength = 8,
                    QueryHeads = 1,
                    KeyHeads = 1,
                    HeadSize = 4,
                    Scale = 1,
                    Causal = true,
                },
                pq, pk, pv, py, pl);
        for (int i = 3; i < 8; i++)
            for (int d = 0; d < 4; d++)
                Assert.Equal(v[12 + d], y[(i * 4) + d]);
        Assert.All(lse, x => Assert.True(float.IsFinite(x)));
    }

    [Fact]
    public void BadShapesAreRefused()
    {
        var shape = new AttentionShape
        {
            Batch = 1,
            QueryLength = 2,
            KeyLength = 2,
            QueryHeads = 3,
            KeyHeads = 2,
            HeadSize = 4,
            Causal = true,
        };
        Assert.Contains(
            "key heads must divide query heads, but got q (1, 2, 3, 4), k (1, 2, 2, 4)",
            Assert.Throws<ArgumentException>(() => Attention.Forward(shape, null, null, null, null, null)).Message);
        shape.KeyHeads = 3;
        shape.Causal = false;
        shape.Window = 4;
        Assert.Contains(
            "a window must be 0 or more and needs a causal mask, but got 4 (causal False)",
            Assert.Throws<ArgumentException>(() => Attention.Forward(shape, null, null, null, null, null)).Message);
    }

    private static void AssertClose(double[] expected, float[] actual, double tolerance, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            bool close = double.IsNegativeInfinity(expected[i])
                ? float.IsNegativeInfinity(actual[i])
                : Math.Abs(expected[i] - actual[i]) <= tolerance;
            Assert.True(close, $"{what} at {i}: expected {expected[i]}, but got {actual[i]}");
        }
    }

    private static double[] Wide(float[] x) => [.. x.Select(value => (double)value)];

    private static double[] Twice(double[] x) => [.. x.Select(value => 2 * value)];

    private static float[] Filled(int count)
    {
        float[] values = new float[count];
        Array.Fill(values, float.NaN);
        return values;
    }
}

[Collection("threads")]
public sealed unsafe class AttentionThreadTests
{
    [Theory]
    [InlineData(1, 200, 4, 1)]
    [InlineData(4, 130, 8, 4)]
    [InlineData(4, 1, 8, 4)]
    public void BitsDoNotDependOnTheThreadCount(int batch, int queries, int heads, int keyHeads)
    {
        var oracle = new AttentionOracle
        {
            Batch = batch,
            Queries = queries,
            Keys = 200,
            QueryHeads = heads,
            KeyHeads = keyHeads,
            Size = 32,
        };
        var random = new Random(7);
        float[] q = GemmTests.Values(random, oracle.QueryCount), k = GemmTests.Values(random, oracle.KeyCount);
        float[] v = GemmTests.Values(random, oracle.KeyCount), dy = GemmTests.Values(random, oracle.QueryCount);
        float[][] Compute(int threads)
        {
            float[] y = new float[q.Length], lse = new float[batch * heads * queries];
            float[] dq = new float[q.Length], dk = new float[k.Length], dv = new float[k.Length];
            WorkersTests.WithThreads(threads, () =>
            {
                AttentionShape shape = oracle.Shape(null, null, null);
                fixed (float* pq = q, pk = k, pv = v, py = y, pl = lse, pdy = dy, pdq = dq, pdk = dk, pdv = dv)
                {
                    Attention.Forward(shape, pq, pk, pv, py, pl);
                    Attention.Backward(shape, pq, pk, pv, py, pl, pdy, pdq, false, pdk, false, pdv, false);
                    long before = GC.GetAllocatedBytesForCurrentThread();
                    Attention.Forward(shape, pq, pk, pv, py, pl);
                    Attention.Backward(shape, pq, pk, pv, py, pl, pdy, pdq, false, pdk, false, pdv, false);
                    Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
                }
            });
            return [y, lse, dq, dk, dv];
        }

        float[][] one = Compute(1);
        Assert.Equal(one, Compute(2));
        Assert.Equal(one, Compute(3));
    }
}
