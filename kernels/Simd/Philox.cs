using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). The key is the seed; the counter
/// is (block, stream), 64 bits each. Element i of a draw is word i % 4 of block i / 4, on every device.
/// </summary>
public static unsafe class Philox
{
    private const uint Multiplier0 = 0xD2511F53, Multiplier1 = 0xCD9E8D57;
    private const uint Weyl0 = 0x9E3779B9, Weyl1 = 0xBB67AE85;
    private const int Rounds = 10;

    /// <summary>Words one wide step makes: eight blocks.</summary>
    internal const int Batch = 32;

    /// <summary>Writes the four words of one block.</summary>
    public static void Block(ulong block, ulong stream, ulong seed, uint* words)
    {
        uint x0 = (uint)block, x1 = (uint)(block >> 32), x2 = (uint)stream, x3 = (uint)(stream >> 32);
        uint k0 = (uint)seed, k1 = (uint)(seed >> 32);
        for (var round = 0; round < Rounds; round++)
        {
            var p0 = (ulong)Multiplier0 * x0;
            var p1 = (ulong)Multiplier1 * x2;
            (x0, x1, x2, x3) = ((uint)(p1 >> 32) ^ x1 ^ k0, (uint)p1, (uint)(p0 >> 32) ^ x3 ^ k1, (uint)p0);
            k0 += Weyl0;
            k1 += Weyl1;
        }
        words[0] = x0;
        words[1] = x1;
        words[2] = x2;
        words[3] = x3;
    }

    /// <summary>Writes words [first, first + 32) of a draw; <paramref name="first"/> is a multiple of four.</summary>
    internal static void Words(ulong first, ulong stream, ulong seed, uint* words)
    {
        var block = first / 4;
        // The wide path keeps the upper counter word fixed.
        if (Avx2.IsSupported && (uint)block <= uint.MaxValue - 8)
        {
            EightBlocks(block, stream, seed, words);
            return;
        }
        for (var i = 0; i < Batch / 4; i++)
            Block(block + (ulong)i, stream, seed, words + 4 * i);
    }

    private static void EightBlocks(ulong block, ulong stream, ulong seed, uint* words)
    {
        var x0 = Vector256.Create((uint)block) + Vector256.Create(0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u);
        var x1 = Vector256.Create((uint)(block >> 32));
        var x2 = Vector256.Create((uint)stream);
        var x3 = Vector256.Create((uint)(stream >> 32));
        uint k0 = (uint)seed, k1 = (uint)(seed >> 32);
        for (var round = 0; round < Rounds; round++)
        {
            Multiply(x0, Multiplier0, out var high0, out var low0);
            Multiply(x2, Multiplier1, out var high1, out var low1);
            x0 = high1 ^ x1 ^ Vector256.Create(k0);
            x1 = low1;
            x2 = high0 ^ x3 ^ Vector256.Create(k1);
            x3 = low0;
            k0 += Weyl0;
            k1 += Weyl1;
        }
        // 4 x 8 transpose: block j's words become adjacent.
        var a = Avx2.UnpackLow(x0, x1).AsUInt64();
        var b = Avx2.UnpackHigh(x0, x1).AsUInt64();
        var c = Avx2.UnpackLow(x2, x3).AsUInt64();
        var d = Avx2.UnpackHigh(x2, x3).AsUInt64();
        var q0 = Avx2.UnpackLow(a, c).AsUInt32();
        var q1 = Avx2.UnpackHigh(a, c).AsUInt32();
        var q2 = Avx2.UnpackLow(b, d).AsUInt32();
        var q3 = Avx2.UnpackHigh(b, d).AsUInt32();
        Avx2.Permute2x128(q0, q1, 0x20).Store(words);
        Avx2.Permute2x128(q2, q3, 0x20).Store(words + 8);
        Avx2.Permute2x128(q0, q1, 0x31).Store(words + 16);
        Avx2.Permute2x128(q2, q3, 0x31).Store(words + 24);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Multiply(Vector256<uint> x, uint by, out Vector256<uint> high, out Vector256<uint> low)
    {
        var m = Vector256.Create(by);
        var even = Avx2.Multiply(x, m);
        var odd = Avx2.Multiply((x.AsUInt64() >> 32).AsUInt32(), m);
        high = Avx2.Blend((even >> 32).AsUInt32(), odd.AsUInt32(), 0xAA);
        low = Avx2.Blend(even.AsUInt32(), (odd << 32).AsUInt32(), 0xAA);
    }

    /// <summary>A word as a float in [0, 1): its top 24 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector<float> Unit(Vector<uint> words) =>
        Vector.ConvertToSingle(Vector.AsVectorInt32(words >> 8)) * VectorMath.Of(1f / 16777216f);
}
