using System.Numerics;
using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// Casts between float, bfloat16 and half (both as raw 16-bit words), rounding to nearest, ties to even. Infinities,
/// subnormals and signed zeros are kept; a NaN stays a quiet NaN. x and y must not overlap.
/// </summary>
public static unsafe class CastKernel
{
    /// <summary>y = bfloat16(x).</summary>
    public static void ToBFloat16(float* x, ushort* y, long n) => Run<ToBf16>(x, y, n);

    /// <summary>y = float(x), x bfloat16: exact.</summary>
    public static void FromBFloat16(ushort* x, float* y, long n) => Run<FromBf16>(y, x, n);

    /// <summary>y = half(x); beyond 65504 rounds to infinity.</summary>
    public static void ToHalf(float* x, ushort* y, long n) => Run<ToF16>(x, y, n);

    /// <summary>y = float(x), x half: exact.</summary>
    public static void FromHalf(ushort* x, float* y, long n) => Run<FromF16>(y, x, n);

    /// <summary>y = half(x), x bfloat16, rounded once.</summary>
    public static void BFloat16ToHalf(ushort* x, ushort* y, long n) => Through<FromBf16, ToF16>(x, y, n);

    /// <summary>y = bfloat16(x), x half, rounded once.</summary>
    public static void HalfToBFloat16(ushort* x, ushort* y, long n) => Through<FromF16, ToBf16>(x, y, n);

    private static void Run<TCast>(float* wide, ushort* narrow, long n) where TCast : struct, ICast
    {
        var body = new Body<TCast> { Wide = wide, Narrow = narrow, N = n };
        Workers.Run(ref body, Split.Items(n, Split.Grain));
    }

    private static void Through<TFrom, TTo>(ushort* x, ushort* y, long n)
        where TFrom : struct, ICast
        where TTo : struct, ICast
    {
        var body = new ThroughBody<TFrom, TTo> { X = x, Y = y, N = n };
        Workers.Run(ref body, Split.Items(n, Split.Grain));
    }

    /// <summary>One direction: words of one register of floats, or floats of one register of words.</summary>
    private interface ICast
    {
        static abstract bool Narrows { get; }

        static abstract Vector<uint> Apply(Vector<uint> bits);
    }

    private struct Body<TCast> : IParallelBody where TCast : struct, ICast
    {
        public float* Wide;
        public ushort* Narrow;
        public long N;

        public readonly void Execute(int item)
        {
            var start = (long)item * Split.Grain;
            Piece<TCast>(Wide + start, Narrow + start, (int)Math.Min(Split.Grain, N - start));
        }
    }

    private struct ThroughBody<TFrom, TTo> : IParallelBody
        where TFrom : struct, ICast
        where TTo : struct, ICast
    {
        public ushort* X, Y;
        public long N;

        public readonly void Execute(int item)
        {
            const int block = 512;
            var wide = stackalloc float[block];
            var end = Math.Min(N, ((long)item + 1) * Split.Grain);
            for (var i = (long)item * Split.Grain; i < end; i += block)
            {
                var n = (int)Math.Min(block, end - i);
                Piece<TFrom>(wide, X + i, n);
                Piece<TTo>(wide, Y + i, n);
            }
        }
    }

    private static void Piece<TCast>(float* wide, ushort* narrow, int n) where TCast : struct, ICast
    {
        var pair = Vector<ushort>.Count;
        var i = 0;
        for (; i <= n - pair; i += pair)
            Pair<TCast>((uint*)wide + i, narrow + i);
        if (i == n)
            return;
        var floats = stackalloc uint[pair];
        var words = stackalloc ushort[pair];
        for (var k = 0; k < pair; k++)
            (floats[k], words[k]) = i + k < n ? (((uint*)wide)[i + k], narrow[i + k]) : (0u, (ushort)0);
        Pair<TCast>(floats, words);
        for (var k = 0; i + k < n; k++)
        {
            if (TCast.Narrows)
                narrow[i + k] = words[k];
            else
                ((uint*)wide)[i + k] = floats[k];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Pair<TCast>(uint* wide, ushort* narrow) where TCast : struct, ICast
    {
        if (TCast.Narrows)
        {
            var low = TCast.Apply(Vector.Load(wide));
            Vector.Narrow(low, TCast.Apply(Vector.Load(wide + Vector<uint>.Count))).Store(narrow);
            return;
        }
        Vector.Widen(Vector.Load(narrow), out var first, out var second);
        TCast.Apply(first).Store(wide);
        TCast.Apply(second).Store(wide + Vector<uint>.Count);
    }

    private readonly struct ToBf16 : ICast
    {
        public static bool Narrows => true;

        public static Vector<uint> Apply(Vector<uint> bits)
        {
            // Half of the dropped part, plus one when the kept part is odd: ties go to even.
            var odd = (bits >> 16) & Vector<uint>.One;
            var rounded = (bits + new Vector<uint>(0x7FFF) + odd) >> 16;
            var quiet = (bits >> 16) | new Vector<uint>(0x40);
            return Vector.ConditionalSelect(IsNaN(bits), quiet, rounded);
        }
    }

    private readonly struct FromBf16 : ICast
    {
        public static bool Narrows => false;

        public static Vector<uint> Apply(Vector<uint> bits) => bits << 16;
    }

    private readonly struct ToF16 : ICast
    {
        public static bool Narrows => true;

        public static Vector<uint> Apply(Vector<uint> bits)
        {
            var sign = (bits >> 16) & new Vector<uint>(0x8000);
            var magnitude = bits & new Vector<uint>(0x7FFFFFFF);
            // Normal results: move the exponent bias from 127 to 15 and round as for bfloat16.
            var odd = (magnitude >> 13) & Vector<uint>.One;
            var normal = (magnitude - new Vector<uint>(112u << 23) + new Vector<uint>(0xFFF) + odd) >> 13;
            // Subnormal results: adding 0.5 lines the last kept bit up with the float's last bit; the hardware rounds.
            var sum = Vector.AsVectorSingle(magnitude) + new Vector<float>(0.5f);
            var small = Vector.AsVectorUInt32(sum) - new Vector<uint>(0x3F000000);
            var tiny = Vector.LessThan(magnitude, new Vector<uint>(113u << 23));
            var word = Vector.ConditionalSelect(tiny, small, normal);
            // 65520 and above.
            var over = Vector.GreaterThanOrEqual(magnitude, new Vector<uint>(0x477FF000));
            word = Vector.ConditionalSelect(over, new Vector<uint>(0x7C00), word);
            var quiet = new Vector<uint>(0x7E00) | ((magnitude >> 13) & new Vector<uint>(0x3FF));
            return Vector.ConditionalSelect(IsNaN(bits), quiet, word) | sign;
        }
    }

    private readonly struct FromF16 : ICast
    {
        public static bool Narrows => false;

        public static Vector<uint> Apply(Vector<uint> bits)
        {
            var sign = (bits & new Vector<uint>(0x8000)) << 16;
            var magnitude = bits & new Vector<uint>(0x7FFF);
            var special = Vector.GreaterThanOrEqual(magnitude, new Vector<uint>(0x7C00));
            // Scaling by 2^112 moves the bias and normalises subnormals exactly.
            var scaled = Vector.AsVectorUInt32(
                Vector.AsVectorSingle(magnitude << 13) * new Vector<float>(5.192296858534828e33f));
            var infinite = (magnitude << 13) | new Vector<uint>(0x7F800000);
            return Vector.ConditionalSelect(special, infinite, scaled) | sign;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<uint> IsNaN(Vector<uint> bits) =>
        Vector.GreaterThan(bits & new Vector<uint>(0x7FFFFFFF), new Vector<uint>(0x7F800000));
}
