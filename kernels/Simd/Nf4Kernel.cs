using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace CudaLora.Kernels.Simd;

/// <summary>Block-wise NF4 as bitsandbytes makes it (Dettmers et al. 2023, arXiv 2305.14314), and back.</summary>
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
            long first = (long)item * Split.Grain;
            bool finite = Avx512F.IsSupported ? Whole512(X, ref first, end, 1 << Shift, Tree, Codes, AbsMax)
                : !Avx2.IsSupported || Whole256(X, ref first, end, 1 << Shift, Tree, Codes, AbsMax);
            for (; finite && first < end; first += 1L << Shift)
                finite = One(X + first, (int)Math.Min(1L << Shift, end - first), first);
            if (!finite)
                Volatile.Write(ref Bad, 1);
        }

        private readonly bool One(float* x, int count, long first)
        {
            float largest = Largest(x, count);
            AbsMax[first >> Shift] = largest;
            Encode(x, count, 1 / Math.Max(largest, Smallest), Tree, Codes + (first >> 1));
            return BitConverter.SingleToUInt32Bits(largest) < Infinite;
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

    // Whole blocks from first on, sixteen values at a time: four lookups in a register find sixteen codes.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool Whole512(
        float* x, ref long first, long end, int size, float* tree, byte* codes, float* absMax)
    {
        Vector512<float> borders = Vector512.Load(tree);
        Vector512<uint> magnitude = Vector512.Create(Magnitude);
        for (; first <= end - size; first += size)
        {
            float* from = x + first;
            Vector512<uint> even = default, odd = default;
            for (int i = 0; i < size; i += 32)
            {
                even = Vector512.Max(even, Vector512.Load((uint*)from + i) & magnitude);
                odd = Vector512.Max(odd, Vector512.Load((uint*)from + i + 16) & magnitude);
            }
            uint bits = Highest(Vector512.Max(even, odd));
            if (bits >= Infinite)
                return false;
            float largest = BitConverter.UInt32BitsToSingle(bits);
            absMax[first / size] = largest;
            Vector512<float> factor = Vector512.Create(1 / Math.Max(largest, Smallest));
            byte* to = codes + (first >> 1);
            for (int i = 0; i < size; i += 32)
            {
                Sixteen(Vector512.Load(from + i) * factor, borders, to + (i >> 1));
                Sixteen(Vector512.Load(from + i + 16) * factor, borders, to + (i >> 1) + 8);
            }
        }
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Sixteen(Vector512<float> value, Vector512<float> borders, byte* codes)
    {
        // True is -1.
        Vector512<int> node = Vector512.Create(2)
            - Vector512.GreaterThan(value, Avx512F.PermuteVar16x32(borders, Vector512<int>.One)).AsInt32();
        node = node + node - Vector512.GreaterThan(value, Avx512F.PermuteVar16x32(borders, node)).AsInt32();
        node = node + node - Vector512.GreaterThan(value, Avx512F.PermuteVar16x32(borders, node)).AsInt32();
        node = node + node - Vector512.GreaterThan(value, Avx512F.PermuteVar16x32(borders, node)).AsInt32();
        Vector512<ulong> pair = (node & Vector512.Create(15)).AsUInt64();
        Vector128<byte> packed = Avx512F.ConvertToVector128Byte((pair << 4) | (pair >> 32));
        Unsafe.WriteUnaligned(codes, packed.AsUInt64().ToScalar());
    }

    // As above, eight at a time; the tree fills two registers, its last level the second.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool Whole256(
        float* x, ref long first, long end, int size, float* tree, byte* codes, float* absMax)
    {
        Vector256<float> upper = Vector256.Load(tree), last = Vector256.Load(tree + 8);
        Vector256<uint> magnitude = Vector256.Create(Magnitude);
        for (; first <= end - size; first += size)
        {
            float* from = x + first;
            Vector256<uint> even = default, odd = default;
            for (int i = 0; i < size; i += 16)
            {
                even = Vector256.Max(even, Vector256.Load((uint*)from + i) & magnitude);
                odd = Vector256.Max(odd, Vector256.Load((uint*)from + i + 8) & magnitude);
            }
            uint bits = Highest(Vector256.Max(even, odd));
            if (bits >= Infinite)
                return false;
            float largest = BitConverter.UInt32BitsToSingle(bits);
            absMax[first / size] = largest;
            Vector256<float> factor = Vector256.Create(1 / Math.Max(largest, Smallest));
            byte* to = codes + (first >> 1);
            for (int i = 0; i < size; i += 8)
                Eight(Vector256.Load(from + i) * factor, upper, last, to + (i >> 1));
        }
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Eight(Vector256<float> value, Vector256<float> upper, Vector256<float> last, byte* codes)
    {
        Vector256<int> node = Vector256.Create(2)
            - Vector256.GreaterThan(value, Avx2.PermuteVar8x32(upper, Vector256<int>.One)).AsInt32();
        node = node + node - Vector256.GreaterThan(value, Avx2.PermuteVar8x32(upper, node)).AsInt32();
        node = node + node - Vector256.GreaterThan(value, Avx2.PermuteVar8x32(upper, node)).AsInt32();
        // Nodes 8 to 15: the permutation reads the low three bits.
        node = node + node - Vector256.GreaterThan(value, Avx2.PermuteVar8x32(last, node)).AsInt32();
        Vector256<ulong> pair = (node & Vector256.Create(15)).AsUInt64();
        pair = (pair << 4) | (pair >> 32);
        codes[0] = (byte)pair.GetElement(0);
        codes[1] = (byte)pair.GetElement(1);
        codes[2] = (byte)pair.GetElement(2);
        codes[3] = (byte)pair.GetElement(3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Highest(Vector512<uint> x) => Highest(Vector256.Max(x.GetLower(), x.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Highest(Vector256<uint> half)
    {
        Vector128<uint> quarter = Vector128.Max(half.GetLower(), half.GetUpper());
        quarter = Vector128.Max(quarter, Vector128.Shuffle(quarter, Vector128.Create(2u, 3, 0, 1)));
        return Math.Max(quarter.GetElement(0), quarter.GetElement(1));
    }

    // Magnitudes compare as integers, and there a NaN is above infinity instead of unordered.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Largest(float* x, int count)
    {
        uint largest = 0;
        for (int i = 0; i < count; i++)
            largest = Math.Max(largest, ((uint*)x)[i] & Magnitude);
        return BitConverter.UInt32BitsToSingle(largest);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Encode(float* x, int count, float inverse, float* tree, byte* codes)
    {
        for (int i = 0; i < count; i += 2, codes++)
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
