using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

/// <summary>
/// Every path against a sum in double precision. The tolerance is the standard a-priori bound of a float sum of k
/// products in any order, (k + 8) * 2^-24 * (|alpha| * sum |a||b| + |beta c|); the 8 covers alpha, beta and stores.
/// </summary>
public sealed unsafe class GemmTests
{
    private const float Guard = 12345.678f;

    // Sizes on both sides of the tile, panel, block and path limits of all widths.
    private static readonly int[] s_sizes =
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 96, 97, 100, 129, 191, 200];
    private static readonly int[] s_depths = [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 255, 256, 257, 513, 600];

    public static TheoryData<SimdPath> Paths =>
        [SimdPath.Scalar, SimdPath.Vector128, SimdPath.Vector256, SimdPath.Vector512];

    [Theory]
    [MemberData(nameof(Paths))]
    public void RandomShapesMatchTheOracle(SimdPath path)
    {
        var random = new Random(17 + (int)path);
        for (int i = 0; i < 240; i++)
        {
            var t = new Case(
                random.Next(2) == 1, random.Next(2) == 1, Pick(random, s_sizes), Pick(random, s_sizes),
                Pick(random, s_depths));
            t.Alpha = Pick(random, [1f, 1f, -0.5f, 2.75f]);
            t.Beta = Pick(random, [0f, 1f, -1f, 0.375f]);
            t.Pad = random.Next(3) * random.Next(7);
            t.Bf16 = random.Next(4) == 0;
            t.Parallel = random.Next(2) == 1;
            t.Verify(path, random);
        }
    }

    // The shapes of LoRA training and decoding: each takes a way of its own through the plan.
    [Theory]
    [InlineData(false, true, 200, 8, 520, 0f)]   // S = x Aᵀ
    [InlineData(false, false, 200, 4, 520, 0f)]  // dS = dY B
    [InlineData(false, true, 150, 16, 300, 0f)]
    [InlineData(false, true, 150, 200, 8, 1f)]   // y += S Bᵀ
    [InlineData(false, false, 150, 200, 8, 1f)]  // dX += dS A
    [InlineData(true, false, 8, 200, 520, 1f)]   // dA = dSᵀ x
    [InlineData(true, false, 200, 8, 520, 1f)]   // dB = dYᵀ S
    [InlineData(true, true, 200, 16, 300, 0.5f)]
    [InlineData(false, true, 1, 300, 520, 0f)]   // decode
    [InlineData(false, false, 1, 300, 520, 0f)]
    [InlineData(true, true, 4, 300, 520, 0f)]
    [InlineData(false, false, 3, 300, 520, 1f)]
    [InlineData(false, true, 40, 300, 520, 1f)]
    [InlineData(true, false, 260, 150, 300, 1f)]
    [InlineData(false, false, 100, 200, 1030, 0f)] // lda of the block copy
    public void ThinShapesMatchTheOracle(bool transA, bool transB, int m, int n, int k, float beta)
    {
        var random = new Random(m + n + k);
        foreach (SimdPath path in Enum.GetValues<SimdPath>())
        {
            foreach (bool bf16 in new[] { false, true })
            {
                var t = new Case(transA, transB, m, n, k)
                {
                    Alpha = 0.75f,
                    Beta = beta,
                    Bf16 = bf16,
                    Parallel = true,
                    Pad = 3,
                };
                t.Verify(path, random);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void LargeValuesThatCancelStayWithinTheBound(SimdPath path)
    {
        var random = new Random(5);
        foreach ((int m, int n, int k) in new[] { (130, 70, 513), (9, 5, 400), (5, 90, 400) })
        {
            var t = new Case(false, true, m, n, k) { Alpha = 1, Parallel = true };
            t.Fill = r => (float)((r.NextDouble() - 0.5) * Math.Pow(10, r.Next(-12, 13)));
            t.Verify(path, random);
        }
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void BetaZeroDoesNotReadC(SimdPath path)
    {
        (int, int, int)[] shapes = [(100, 50, 300), (7, 3, 20), (5, 90, 40), (200, 8, 30), (1, 1, 0), (9, 40, 0)];
        foreach ((int m, int n, int k) in shapes)
        {
            foreach (bool transA in new[] { false, true })
            {
                var t = new Case(transA, false, m, n, k) { Alpha = 1, Beta = 0, OldC = float.NaN };
                t.Verify(path, new Random(3));
            }
        }
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(1f)]
    [InlineData(-0.5f)]
    public void NothingToSumLeavesBetaTimesC(float beta)
    {
        var random = new Random(3);
        new Case(false, false, 7, 9, 0) { Alpha = 1, Beta = beta }.Verify(SimdSupport.Best, random);
        new Case(false, false, 7, 9, 5) { Alpha = 0, Beta = beta }.Verify(SimdSupport.Best, random);
        new Case(false, false, 0, 9, 5) { Alpha = 1, Beta = beta }.Verify(SimdSupport.Best, random);
        new Case(false, false, 7, 0, 5) { Alpha = 1, Beta = beta }.Verify(SimdSupport.Best, random);
    }

    [Theory]
    [InlineData(1, 40, 30, 20, false)]
    [InlineData(3, 40, 30, 20, false)]
    [InlineData(9, 17, 19, 23, false)]
    [InlineData(9, 17, 19, 23, true)]
    [InlineData(2, 130, 120, 130, false)]
    [InlineData(2, 130, 120, 130, true)]
    [InlineData(12, 64, 64, 64, true)]
    [InlineData(0, 4, 4, 4, false)]
    public void BatchesMatchTheOracle(int batch, int m, int n, int k, bool sharedB)
    {
        foreach (SimdPath path in Enum.GetValues<SimdPath>())
        {
            foreach (bool transA in new[] { false, true })
            {
                var random = new Random(batch + m);
                float[] a = Values(random, batch * m * k), b = Values(random, batch * k * n);
                float[] c = Values(random, batch * m * n), expected = (float[])c.Clone();
                int strideB = sharedB ? 0 : k * n;
                fixed (float* pa = a, pb = b, pc = c, pe = expected)
                {
                    Gemm.RunBatched(
                        path, batch,
                        Gemm.Product(
                            transA, true, m, n, k, 0.5f, pa, transA ? m : k, new F32Source(pb, k), 1f, pc, n),
                        k, m * k, strideB, m * n);
                    for (int i = 0; i < batch; i++)
                        Gemm.RunSerial(
                            transA, true, m, n, k, 0.5f, pa + (i * m * k), transA ? m : k, pb + (i * strideB), k,
                            1f, pe + (i * m * n), n);
                }
                for (int i = 0; i < c.Length; i++)
                    Assert.Equal(expected[i], c[i], 1e-4f * k); // two correct paths; the serial one is checked above
            }
        }
    }

    [Theory]
    [InlineData(-1, 2, 2, 2, 2, 2, "sizes must be 0 or more, but got m -1, n 2, k 2")]
    [InlineData(2, 3, 4, 3, 3, 3, "lda 3 (row 4), ldb 3 (row 3), ldc 3 (row 3)")]
    [InlineData(2, 3, 4, 4, 2, 3, "lda 4 (row 4), ldb 2 (row 3), ldc 3 (row 3)")]
    [InlineData(2, 3, 4, 4, 3, 2, "lda 4 (row 4), ldb 3 (row 3), ldc 2 (row 3)")]
    public void BadSizesAreRefused(int m, int n, int k, int lda, int ldb, int ldc, string message)
    {
        float[] x = new float[64];
        var error = Assert.Throws<ArgumentException>(() =>
        {
            fixed (float* p = x)
                Gemm.Run(false, false, m, n, k, 1, p, lda, p + 20, ldb, 0, p + 40, ldc);
        });
        Assert.Contains(message, error.Message);
    }

    /// <summary>A short run over every way through the plan.</summary>
    internal static void VerifySome(SimdPath path)
    {
        var random = new Random(99);
        foreach ((int m, int n, int k) in new[] { (70, 40, 300), (100, 8, 60), (9, 3, 600), (5, 70, 90), (8, 90, 300) })
            for (int flags = 0; flags < 8; flags++)
            {
                var t = new Case((flags & 1) != 0, (flags & 2) != 0, m, n, k)
                {
                    Alpha = 0.5f,
                    Beta = 1,
                    Bf16 = (flags & 4) != 0,
                    Parallel = true,
                };
                t.Verify(path, random);
            }
    }

    private static T Pick<T>(Random random, T[] from) => from[random.Next(from.Length)];

    internal static float[] Values(Random random, int count)
    {
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
            values[i] = (float)((random.NextDouble() * 2) - 1);
        return values;
    }

    private sealed class Case(bool transA, bool transB, int m, int n, int k)
    {
        public float Alpha { get; set; }
        public float Beta { get; set; }
        public int Pad { get; set; }
        public bool Bf16 { get; set; }
        public bool Parallel { get; set; }
        public float OldC { get; set; }
        public Func<Random, float> Fill { get; set; } = r => (float)((r.NextDouble() * 2) - 1);

        public void Verify(SimdPath path, Random random)
        {
            int lda = (transA ? m : k) + Pad, ldb = (transB ? k : n) + Pad, ldc = Math.Max(1, n) + Pad;
            // One float of offset: nothing may rely on alignment.
            float[] a = Fresh(random, 1 + ((transA ? k : m) * lda)), b = Fresh(random, 1 + ((transB ? n : k) * ldb));
            float[] c = Fresh(random, 1 + (m * ldc) + 64);
            ushort[] half = new ushort[b.Length];
            for (int i = 0; Bf16 && i < b.Length; i++)
            {
                half[i] = (ushort)(BitConverter.SingleToUInt32Bits(b[i]) >> 16);
                b[i] = BitConverter.UInt32BitsToSingle((uint)half[i] << 16);
            }
            for (int i = 0; i < c.Length; i++)
            {
                int column = (i - 1) % ldc;
                bool inside = i > 0 && (i - 1) / ldc < m && column < n;
                c[i] = !inside ? Guard : float.IsNaN(OldC) ? float.NaN : c[i];
            }
            float[] old = (float[])c.Clone();
            fixed (float* pa = a, pb = b, pc = c)
            fixed (ushort* ph = half)
            {
                if (Bf16)
                    Gemm.Run(
                        path, Parallel,
                        Gemm.Product(
                            transA, transB, m, n, k, Alpha, pa + 1, lda, new Bf16Source(ph + 1, ldb),
                            Beta, pc + 1, ldc),
                        ldb);
                else
                    Gemm.Run(
                        path, Parallel,
                        Gemm.Product(
                            transA, transB, m, n, k, Alpha, pa + 1, lda, new F32Source(pb + 1, ldb), Beta, pc + 1, ldc),
                        ldb);
            }
            for (int i = 0; i < c.Length; i++)
            {
                int row = (i - 1) / ldc, column = (i - 1) % ldc;
                if (i == 0 || row >= m || column >= n)
                    Assert.True(c[i] == Guard, $"{path} {this} wrote outside C at {row}, {column}");
                else
                    CompareOne(path, a, lda, b, ldb, row, column, old[i], c[i]);
            }
        }

        private void CompareOne(
            SimdPath path, float[] a, int lda, float[] b, int ldb, int row, int column, float old, float actual)
        {
            double sum = 0, size = 0;
            for (int p = 0; p < k; p++)
            {
                double product = (double)a[1 + (transA ? (p * lda) + row : (row * lda) + p)]
                    * b[1 + (transB ? (column * ldb) + p : (p * ldb) + column)];
                sum += product;
                size += Math.Abs(product);
            }
            double kept = Beta == 0 ? 0 : Beta * (double)old;
            double expected = (Alpha * sum) + kept;
            double bound = (k + 8) * Math.Pow(2, -24) * ((Math.Abs(Alpha) * size) + Math.Abs(kept));
            Assert.True(
                Math.Abs(actual - expected) <= bound,
                $"{path} {this} at {row}, {column}: expected {expected}, but got {actual} (bound {bound})");
        }

        private float[] Fresh(Random random, int count)
        {
            float[] values = new float[count];
            for (int i = 0; i < count; i++)
                values[i] = Fill(random);
            return values;
        }

        public override string ToString()
            => $"transA {transA}, transB {transB}, m {m}, n {n}, k {k}, alpha {Alpha}, beta {Beta}, pad {Pad}, " +
                $"bf16 {Bf16}, parallel {Parallel}";
    }
}
