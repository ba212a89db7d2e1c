using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

/// <summary>
/// One NaN in an input of attention, on all paths: all that sees it must be NaN, whatever bits the NaN has. What does
/// not see a query or a key has none of its NaN; masked products in the gradients may have it, as zero times NaN has.
/// </summary>
public sealed unsafe class AttentionNotFiniteTests
{
    private const int Heads = 4, KeyHeads = 2, Keys = 150, Size = 20;

    // .NET's, what CUDA devices write, and payloads: their bits must not get lost in the arithmetic of exponents.
    private static readonly float[] NaNs =
    [
        float.NaN, BitConverter.UInt32BitsToSingle(0x7FFFFFFF), BitConverter.UInt32BitsToSingle(0x7FC00001),
        BitConverter.UInt32BitsToSingle(0xFFC00080),
    ];

    public static TheoryData<SimdPath, int> Paths
    {
        get
        {
            var data = new TheoryData<SimdPath, int>();
            foreach (var path in Enum.GetValues<SimdPath>())
            {
                foreach (var queries in (int[])[1, 3, 70]) // decode, decode, tiles
                    data.Add(path, queries);
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void AQuery(SimdPath path, int queries)
    {
        var (t, h) = (queries / 2, 1);
        foreach (var nan in NaNs)
        {
            var run = new Inputs(queries);
            run.Q[(((t * Heads) + h) * Size) + 7] = nan;
            run.Forward(path);
            run.Backward(path);
            AssertNaN(run.Y, i => i / Size == (t * Heads) + h, $"y, {nan:R}");
            AssertNaN(run.Dq, i => i / Size == (t * Heads) + h, $"dq, {nan:R}");
            for (int i = 0; i < run.Dk.Length; i++)
            {
                var seen = i / Size % KeyHeads == 0 && i / Size / KeyHeads <= t + Keys - queries;
                Assert.True(!seen || (float.IsNaN(run.Dk[i]) && float.IsNaN(run.Dv[i])), $"dk, dv {i}, {nan:R}");
            }
        }
    }

    // A query without NaN has no NaN for a key that it does not see.
    [Theory]
    [MemberData(nameof(Paths))]
    public void AKey(SimdPath path, int queries)
    {
        var key = Keys - 1 - (queries / 2);
        foreach (var nan in NaNs)
        {
            var run = new Inputs(queries);
            run.K[(((key * KeyHeads) + 1) * Size) + 3] = nan;
            run.Forward(path);
            AssertNaN(
                run.Y, i => i / Size % Heads >= 2 && (i / Size / Heads) + Keys - queries >= key, $"y, {nan:R}");
        }
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void AValue(SimdPath path, int queries)
    {
        var key = Keys - 1 - (queries / 2);
        foreach (var nan in NaNs)
        {
            var run = new Inputs(queries);
            run.V[(((key * KeyHeads) + 1) * Size) + 3] = nan;
            run.Forward(path);
            for (int i = 0; i < run.Y.Length; i++)
            {
                var seen = i / Size % Heads >= 2 && (i / Size / Heads) + Keys - queries >= key && i % Size == 3;
                Assert.True(!seen || float.IsNaN(run.Y[i]), $"y {i}, {nan:R}: {run.Y[i]}");
            }
        }
    }

    private static void AssertNaN(float[] values, Func<int, bool> expected, string what)
    {
        for (int i = 0; i < values.Length; i++)
            Assert.True(expected(i) == float.IsNaN(values[i]), $"{what} {i}: {values[i]}");
    }

    private sealed class Inputs
    {
        private readonly int queries;
        private readonly float[] lse;
        private readonly float[] dy;

        public Inputs(int queries)
        {
            this.queries = queries;
            var random = new Random(7);
            Q = GemmTests.Values(random, queries * Heads * Size);
            dy = GemmTests.Values(random, queries * Heads * Size);
            K = GemmTests.Values(random, Keys * KeyHeads * Size);
            V = GemmTests.Values(random, Keys * KeyHeads * Size);
            (Y, Dq, lse) = (new float[Q.Length], new float[Q.Length], new float[queries * Heads]);
            (Dk, Dv) = (new float[K.Length], new float[K.Length]);
        }

        public float[] Q { get; }

        public float[] K { get; }

        public float[] V { get; }

        public float[] Y { get; }

        public float[] Dq { get; }

        public float[] Dk { get; }

        public float[] Dv { get; }

        private AttentionShape Shape => new()
        {
            Batch = 1,
            QueryLength = queries,
            KeyLength = Keys,
            QueryHeads = Heads,
            KeyHeads = KeyHeads,
            HeadSize = Size,
            Scale = 0.3f,
            Causal = true,
        };

        public void Forward(SimdPath path)
        {
            fixed (float* q = Q, k = K, v = V, y = Y, l = lse)
                Attention.Forward(path, Shape, q, k, v, y, l);
        }

        public void Backward(SimdPath path)
        {
            fixed (float* q = Q, k = K, v = V, y = Y, l = lse, g = dy, dq = Dq, dk = Dk, dv = Dv)
                Attention.Backward(path, Shape, q, k, v, y, l, g, dq, false, dk, false, dv, false);
        }
    }
}
