using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// y (m, n) = alpha x (m, k) Wᵀ + beta y for few rows and W in bfloat16: a row of W is read once and widened in
/// registers.
/// </summary>
internal static unsafe class Bf16Gemv
{
    /// <summary>Most rows of x that one pass over W serves.</summary>
    public const int MaxRows = 4;

    // Rows of W per item: enough to pay for the hand-over at small k.
    private const int ItemValues = 1 << 16;

    public static bool Supports => Vector256.IsHardwareAccelerated;

    public static void Run(
        int m, int n, int k, float alpha, float* x, int ldx, ushort* w, int ldw, float beta, float* y, int ldy)
    {
        var body = new Body
        {
            M = m,
            N = n,
            K = k,
            X = x,
            Ldx = ldx,
            W = w,
            Ldw = ldw,
            Y = y,
            Ldy = ldy,
            Alpha = alpha,
            Beta = beta,
            Rows = Math.Max(4, ItemValues / Math.Max(1, k)),
        };
        int items = Split.Items(n, body.Rows);
        if (2L * n * k * m >= GemmPlan.ForkFlops)
        {
            Workers.Run(ref body, items);
            return;
        }
        for (int i = 0; i < items; i++)
            body.Execute(i);
    }

    private struct Body : IParallelBody
    {
        public int M, N, K, Rows, Ldx, Ldw, Ldy;
        public float* X, Y;
        public ushort* W;
        public float Alpha, Beta;

        public readonly void Execute(int item)
        {
            int end = Math.Min(N, (item + 1) * Rows);
            float* sums = stackalloc float[MaxRows];
            for (int row = item * Rows; row < end; row++)
            {
                ushort* w = W + ((nint)row * Ldw);
                switch (M)
                {
                    case 1: Row<One>(w, K, X, Ldx, sums); break;
                    case 2: Row<Two>(w, K, X, Ldx, sums); break;
                    case 3: Row<Three>(w, K, X, Ldx, sums); break;
                    default: Row<Four>(w, K, X, Ldx, sums); break;
                }
                for (int i = 0; i < M; i++)
                {
                    float* to = Y + ((nint)i * Ldy) + row;
                    *to = Beta == 0 ? Alpha * sums[i] : (Alpha * sums[i]) + (Beta * *to);
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Row<TRows>(ushort* w, int k, float* x, nint ldx, float* sums)
        where TRows : struct, IRows
    {
        Vector256<float> a0 = default, a1 = default, a2 = default, a3 = default;
        Vector256<float> b0 = default, b1 = default, b2 = default, b3 = default;
        int i = 0;
        for (; i <= k - 16; i += 16)
        {
            Vector256<ushort> packed = Vector256.Load(w + i);
            Vector256<float> low = (Vector256.WidenLower(packed) << 16).AsSingle();
            Vector256<float> high = (Vector256.WidenUpper(packed) << 16).AsSingle();
            float* at = x + i;
            a0 = Lanes256.MultiplyAdd(low, Vector256.Load(at), a0);
            b0 = Lanes256.MultiplyAdd(high, Vector256.Load(at + 8), b0);
            if (TRows.Count > 1)
            {
                a1 = Lanes256.MultiplyAdd(low, Vector256.Load(at + ldx), a1);
                b1 = Lanes256.MultiplyAdd(high, Vector256.Load(at + ldx + 8), b1);
            }
            if (TRows.Count > 2)
            {
                a2 = Lanes256.MultiplyAdd(low, Vector256.Load(at + (2 * ldx)), a2);
                b2 = Lanes256.MultiplyAdd(high, Vector256.Load(at + (2 * ldx) + 8), b2);
            }
            if (TRows.Count > 3)
            {
                a3 = Lanes256.MultiplyAdd(low, Vector256.Load(at + (3 * ldx)), a3);
                b3 = Lanes256.MultiplyAdd(high, Vector256.Load(at + (3 * ldx) + 8), b3);
            }
        }
        (sums[0], sums[1]) = (Lanes256.Sum(a0 + b0), Lanes256.Sum(a1 + b1));
        (sums[2], sums[3]) = (Lanes256.Sum(a2 + b2), Lanes256.Sum(a3 + b3));
        for (; i < k; i++)
        {
            float value = BitConverter.UInt32BitsToSingle((uint)w[i] << 16);
            for (int row = 0; row < TRows.Count; row++)
                sums[row] += value * x[(row * ldx) + i];
        }
    }
}
