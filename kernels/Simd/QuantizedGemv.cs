using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// y (m, n) = x (m, k) Wᵀ for few rows: a row of W is read once, as codes; its values exist only in registers. The
/// codebook values of a block are summed first and the block's scale multiplies the sum.
/// </summary>
internal static unsafe class QuantizedGemv
{
    private const int MaxRows = 4;

    // Rows of W per item: enough to pay for the hand-over at small k.
    private const int ItemCodes = 1 << 16;

    /// <summary>
    /// Most rows of x that one pass over the codes serves: with few registers, or codes that are dear to look up,
    /// panels
    /// are faster from the second row on.
    /// </summary>
    public static int MostRows => NibbleDecode.Is512 ? MaxRows : 1;

    /// <summary>True when rows begin with a block and the hardware can look codes up in registers.</summary>
    public static bool Supports(in QuantizedView weight, int k)
        => k > 0 && k % (1 << weight.BlockShift) == 0 && (NibbleDecode.Is512 || NibbleDecode.Is256);

    public static void Run(in QuantizedView weight, int m, int n, int k, float* x, float beta, float* y)
    {
        var body = new Body
        {
            W = weight,
            M = m,
            N = n,
            K = k,
            X = x,
            Y = y,
            Beta = beta,
            Rows = Math.Max(4, ItemCodes / k),
        };
        int items = Split.Items(n, body.Rows);
        if ((long)n * k * m >= GemmPlan.ForkFlops / 2)
        {
            Workers.Run(ref body, items);
            return;
        }
        for (int i = 0; i < items; i++)
            body.Execute(i);
    }

    private struct Body : IParallelBody
    {
        public QuantizedView W;
        public int M, N, K, Rows;
        public float* X, Y;
        public float Beta;

        public readonly void Execute(int item)
        {
            int end = Math.Min(N, (item + 1) * Rows);
            float* sums = stackalloc float[MaxRows];
            for (int row = item * Rows; row < end; row++)
            {
                if (NibbleDecode.Is512)
                    Row512(W, row, M, K, X, sums);
                else
                    sums[0] = Row256(W, row, K, X);
                for (int i = 0; i < M; i++)
                {
                    float* to = Y + ((nint)i * N) + row;
                    *to = Beta == 0 ? sums[i] : sums[i] + (Beta * *to);
                }
            }
        }
    }

    private static void Row512(in QuantizedView w, int row, int m, int k, float* x, float* sums)
    {
        switch (m)
        {
            case 1: Row512<One>(w, row, k, x, sums); break;
            case 2: Row512<Two>(w, row, k, x, sums); break;
            case 3: Row512<Three>(w, row, k, x, sums); break;
            default: Row512<Four>(w, row, k, x, sums); break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Row512<TRows>(in QuantizedView w, int row, int k, float* x, float* sums)
        where TRows : struct, IRows
    {
        Vector512<float> table = Vector512.Load(w.Codebook);
        Vector512<byte> fields = NibbleDecode.Fields();
        Vector512<float> y0 = default, y1 = default, y2 = default, y3 = default;
        byte* codes = w.Codes + (((nint)row * k) >> 1);
        long block = ((long)row * k) >> w.BlockShift;
        int size = 1 << w.BlockShift;
        float* end = x + k;
        while (x < end)
        {
            Vector512<float> a0 = default, a1 = default, a2 = default, a3 = default;
            Vector512<float> b0 = default, b1 = default, b2 = default, b3 = default;
            for (int j = 0; j < size; j += 32, codes += 16, x += 32)
            {
                Vector512<float> even = NibbleDecode.Sixteen(codes, fields, table);
                Vector512<float> odd = NibbleDecode.Sixteen(codes + 8, fields, table);
                a0 = Lanes512.MultiplyAdd(even, Vector512.Load(x), a0);
                b0 = Lanes512.MultiplyAdd(odd, Vector512.Load(x + 16), b0);
                if (TRows.Count > 1)
                {
                    a1 = Lanes512.MultiplyAdd(even, Vector512.Load(x + k), a1);
                    b1 = Lanes512.MultiplyAdd(odd, Vector512.Load(x + k + 16), b1);
                }
                if (TRows.Count > 2)
                {
                    a2 = Lanes512.MultiplyAdd(even, Vector512.Load(x + (2 * (nint)k)), a2);
                    b2 = Lanes512.MultiplyAdd(odd, Vector512.Load(x + (2 * (nint)k) + 16), b2);
                }
                if (TRows.Count > 3)
                {
                    a3 = Lanes512.MultiplyAdd(even, Vector512.Load(x + (3 * (nint)k)), a3);
                    b3 = Lanes512.MultiplyAdd(odd, Vector512.Load(x + (3 * (nint)k) + 16), b3);
                }
            }
            Vector512<float> scale = Vector512.Create(w.Scale(block++));
            y0 = Lanes512.MultiplyAdd(a0 + b0, scale, y0);
            if (TRows.Count > 1)
                y1 = Lanes512.MultiplyAdd(a1 + b1, scale, y1);
            if (TRows.Count > 2)
                y2 = Lanes512.MultiplyAdd(a2 + b2, scale, y2);
            if (TRows.Count > 3)
                y3 = Lanes512.MultiplyAdd(a3 + b3, scale, y3);
        }
        sums[0] = Lanes512.Sum(y0);
        sums[1] = Lanes512.Sum(y1);
        sums[2] = Lanes512.Sum(y2);
        sums[3] = Lanes512.Sum(y3);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Row256(in QuantizedView w, int row, int k, float* x)
    {
        Vector256<float> low = Vector256.Load(w.Codebook), high = Vector256.Load(w.Codebook + 8);
        Vector256<uint> shifts = NibbleDecode.Shifts();
        Vector256<float> y = default;
        byte* codes = w.Codes + (((nint)row * k) >> 1);
        long block = ((long)row * k) >> w.BlockShift;
        int size = 1 << w.BlockShift;
        for (float* end = x + k; x < end;)
        {
            Vector256<float> a = default, b = default;
            for (int j = 0; j < size; j += 16, codes += 8, x += 16)
            {
                a = Lanes256.MultiplyAdd(NibbleDecode.Eight(codes, shifts, low, high), Vector256.Load(x), a);
                b = Lanes256.MultiplyAdd(
                    NibbleDecode.Eight(codes + 4, shifts, low, high), Vector256.Load(x + 8), b);
            }
            y = Lanes256.MultiplyAdd(a + b, Vector256.Create(w.Scale(block++)), y);
        }
        return Lanes256.Sum(y);
    }
}
