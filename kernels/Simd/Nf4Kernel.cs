using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace CudaLora.Kernels.Simd;

/// <summary>Block-wise NF4 as bitsandbytes makes it (Dettmers et al. 2023, arXiv 2305.14314), and its inverse.</summary>
public static unsafe class Nf4Kernel
{
    private const uint Magnitude = 0x7FFFFFFF;
    private const uint Infinite = 0x7F800000;

    // Below this a reciprocal would overflow; such a block is all but zero, and its codes become those of zero.
    private const float Smallest = 1e-38f;

    // The borders as a search tree in an array: the children of node i are 2 i and 2 i + 1, the root is 1.
    private static readonly int[] s_order = [0, 7, 3, 11, 1, 5, 9, 13, 0, 2, 4, 6, 8, 10, 12, 14];

    /// <summary>
    /// Codes and scales of <paramref name="n"/> values: scale = max |x| of a block, code = nearest of the codebook to
    /// x * (1 / scale), a tie going to the lower one. A block of zeros gets the code of 0. An odd count is filled up
    /// with the code of 0.
    /// </summary>
    /// <param name="x">Values.</param>
    /// <param name="n">Number of values.</param>
    /// <param name="blockShift">log2 of the values per block: 5 to 12.</param>
    /// <param name="codes">(n + 1) / 2 bytes, the first of two codes in the high half.</param>
    /// <param name="absMax">One scale per block.</param>
    /// <returns>False if a value is NaN or infinite; the codes are then worth nothing.</returns>
    public static bool Quantize(float* x, long n, int blockShift, byte* codes, float* absMax)
    {
        float* tree = stackalloc float[16];
        for (int i = 0; i < 16; i++)
            tree[i] = QuantTables.Nf4Borders[s_order[i]];
        var body = new Body { X = x, N = n, Shift = blockShift, Codes = codes, AbsMax = absMax, Tree = tree };
        Workers.Run(ref body, Split.Items(n, Split.Grain));
        return body.Bad == 0;
    }

    /// <summary>y = codebook value times scale, for <paramref name="n"/> elements from the first.</summary>
    public static void Dequantize(in QuantizedView view, float* y, long n)
    {
        var body = new DecodeBody { View = view, Y = y, N = n };
        Workers.Run(ref body, Split.Items(n, Split.Grain));
    }

    // A block is at most 4096 values, so an item of 16384 holds whole blocks.
    private struct Body : IParallelBody
    {
        public float* X;
        public long N;
        public int Shift;
        public byte* Codes;
        public float* AbsMax;
        public float* Tree;
        public int Bad;

        public void Execute(int item)
        {
            long end = Math.Min(N, ((long)item + 1) * Split.Grain);
            for (long first = (long)item * Split.Grain; first < end; first += 1L << Shift)
            {
                int count = (int)Math.Min(1L << Shift, end - first);
                float largest = Largest(X + first, count);
                if (BitConverter.SingleToUInt32Bits(largest) >= Infinite)
                {
                    Volatile.Write(ref Bad, 1);
                    return;
                }
                AbsMax[first >> Shift] = largest;
                Encode(X + first, count, 1 / Math.Max(largest, Smallest), Tree, Codes + (first >> 1));
            }
        }
    }

    private struct DecodeBody : IParallelBody
    {
        public QuantizedView View;
        public float* Y;
        public long N;

        public readonly void Execute(int item)
        {
            long first = (long)item * Split.Grain;
            View.Decode(first, (int)Math.Min(Split.Grain, N - first), Y + first);
        }
    }

    // Magnitudes compare as integers, and there a NaN is above infinity instead of unordered.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Largest(float* x, int count)
    {
        uint largest = 0;
        int i = 0;
        if (Vector256.IsHardwareAccelerated)
        {
            Vector256<uint> mask = Vector256.Create(Magnitude), m0 = default, m1 = default;
            for (; i <= count - 16; i += 16)
            {
                m0 = Vector256.Max(m0, Vector256.Load((uint*)x + i) & mask);
                m1 = Vector256.Max(m1, Vector256.Load((uint*)x + i + 8) & mask);
            }
            m0 = Vector256.Max(m0, m1);
            for (int lane = 0; lane < 8; lane++)
                largest = Math.Max(largest, m0.GetElement(lane));
        }
        for (; i < count; i++)
            largest = Math.Max(largest, ((uint*)x)[i] & Magnitude);
        return BitConverter.UInt32BitsToSingle(largest);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Encode(float* x, int count, float inverse, float* tree, byte* codes)
    {
        int i = 0;
        if (Avx512F.IsSupported)
        {
            Vector512<float> borders = Vector512.Load(tree), factor = Vector512.Create(inverse);
            for (; i <= count - 16; i += 16, codes += 8)
            {
                Vector512<float> value = Vector512.Load(x + i) * factor;
                Vector512<int> node = Vector512<int>.One;
                for (int level = 0; level < 4; level++)
                {
                    Vector512<float> border = Avx512F.PermuteVar16x32(borders, node);
                    // True is -1.
                    node = node + node - Vector512.GreaterThan(value, border).AsInt32();
                }
                Vector512<ulong> pair = (node & Vector512.Create(15)).AsUInt64();
                Vector128<byte> packed = Avx512F.ConvertToVector128Byte((pair << 4) | (pair >> 32));
                Unsafe.WriteUnaligned(codes, packed.AsUInt64().ToScalar());
            }
        }
        for (; i < count; i += 2, codes++)
        {
            int high = Code(x[i] * inverse, tree);
            int low = i + 1 < count ? Code(x[i + 1] * inverse, tree) : 7;
            *codes = (byte)((high << 4) | low);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Code(float value, float* tree)
    {
        int node = 1;
        for (int level = 0; level < 4; level++)
            node = (2 * node) + (value > tree[node] ? 1 : 0);
        return node & 15;
    }
}
