using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace CudaLora.Engine;

/// <summary>
/// Float format conversions of whole arrays, vectorised 256 bits at a time (narrower machines split the operations).
/// Pointers need no alignment; source and destination must not overlap. Widening is exact; narrowing rounds to nearest,
/// ties to even, and keeps NaN a NaN.
/// </summary>
internal static unsafe class FloatConvert
{
    private const float TwoTo112 = 5192296858534827628530496329220096f;

    /// <summary>bfloat16 bits to single.</summary>
    internal static void BF16ToF32(ushort* source, float* destination, long count)
    {
        long i = 0;
        for (; i <= count - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
        {
            (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(Vector256.Load(source + i));
            Vector256.Store((low << 16).AsSingle(), destination + i);
            Vector256.Store((high << 16).AsSingle(), destination + i + 8);
        }
        for (; i < count; i++) destination[i] = BitConverter.UInt32BitsToSingle((uint)source[i] << 16);
    }

    /// <summary>IEEE half bits to single.</summary>
    internal static void F16ToF32(ushort* source, float* destination, long count)
    {
        long i = 0;
        for (; i <= count - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
        {
            (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(Vector256.Load(source + i));
            Vector256.Store(HalfToSingle(low), destination + i);
            Vector256.Store(HalfToSingle(high), destination + i + 8);
        }
        for (; i < count; i++) destination[i] = (float)BitConverter.UInt16BitsToHalf(source[i]);
    }

    /// <summary>Double to single.</summary>
    internal static void F64ToF32(double* source, float* destination, long count)
    {
        long i = 0;
        for (; i <= count - Vector256<float>.Count; i += Vector256<float>.Count)
            Vector256.Store(
                Vector256.Narrow(Vector256.Load(source + i), Vector256.Load(source + i + 4)), destination + i);
        for (; i < count; i++) destination[i] = (float)source[i];
    }

    /// <summary>Single to bfloat16 bits.</summary>
    internal static void F32ToBF16(float* source, ushort* destination, long count)
    {
        long i = 0;
        for (; i <= count - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
        {
            Vector256<uint> low = RoundToBF16(Vector256.Load(source + i));
            Vector256<uint> high = RoundToBF16(Vector256.Load(source + i + 8));
            Vector256.Store(Vector256.Narrow(low, high), destination + i);
        }
        for (; i < count; i++)
            destination[i] = (ushort)RoundToBF16(Vector256.Create(source[i])).ToScalar();
    }

    /// <summary>Single to IEEE half bits.</summary>
    internal static void F32ToF16(float* source, ushort* destination, long count)
    {
        for (long i = 0; i < count; i++) destination[i] = BitConverter.HalfToUInt16Bits((Half)source[i]);
    }

    // The exponent and mantissa moved into a single are off by 2^112; the multiplication also makes subnormals normal.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> HalfToSingle(Vector256<uint> half)
    {
        Vector256<uint> sign = (half & Vector256.Create(0x8000u)) << 16;
        Vector256<uint> magnitude = (half & Vector256.Create(0x7fffu)) << 13;
        Vector256<uint> scaled = (magnitude.AsSingle() * Vector256.Create(TwoTo112)).AsUInt32();
        Vector256<uint> special = Vector256.GreaterThanOrEqual(magnitude, Vector256.Create(0x7c00u << 13));
        return (scaled | (special & Vector256.Create(0x7f800000u)) | sign).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> RoundToBF16(Vector256<float> value)
    {
        Vector256<uint> bits = value.AsUInt32();
        Vector256<uint> rounded = (bits + Vector256.Create(0x7fffu) + ((bits >> 16) & Vector256<uint>.One)) >> 16;
        Vector256<uint> quiet = (bits >> 16) | Vector256.Create(0x40u);
        return Vector256.ConditionalSelect(Vector256.Equals(value, value).AsUInt32(), rounded, quiet);
    }
}
