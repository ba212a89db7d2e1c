using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// Matrix products as tensor cores form them. Fast: fp32 fused multiply-adds in order of k. Exact: the published
/// bit-level model (MMA-Sim): the products of one step and c are aligned to the largest exponent, cut at F fraction
/// bits, summed exactly, and the sum cut to fp32. F is 24 and a step 8 (tf32: 4) products before sm_90; from sm_90 on
/// F is 25 and a step is the whole k.
/// </summary>
internal static unsafe class TensorCore
{
    /// <summary>acc (16, columns) += a (16, k) b (k, columns); columns is a multiple of 8.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(float* acc, float* a, float* b, int k, int columns, PtxType type, bool exact,
        int target)
    {
        if (exact)
        {
            bool hopper = target >= 90;
            int step = hopper ? k : type == PtxType.TF32 ? 4 : 8;
            for (int row = 0; row < 16; row++)
            {
                for (int n = 0; n < columns; n++)
                {
                    float* c = acc + (row * columns) + n;
                    for (int at = 0; at < k; at += step)
                        *c = Step(*c, a + (row * k) + at, b + (at * columns) + n, columns, Math.Min(step, k - at), type,
                            hopper ? 25 : 24);
                }
            }
            return;
        }
        for (int n = 0; n < columns; n += 8)
        {
            for (int row = 0; row < 16; row += 4)
            {
                float* c = acc + (row * columns) + n;
                Vector256<float> s0 = Vector256.Load(c), s1 = Vector256.Load(c + columns);
                Vector256<float> s2 = Vector256.Load(c + (2 * columns)), s3 = Vector256.Load(c + (3 * columns));
                float* x = a + (row * k);
                for (int p = 0; p < k; p++)
                {
                    Vector256<float> y = Vector256.Load(b + (p * columns) + n);
                    s0 = Vector256.FusedMultiplyAdd(Vector256.Create(x[p]), y, s0);
                    s1 = Vector256.FusedMultiplyAdd(Vector256.Create(x[k + p]), y, s1);
                    s2 = Vector256.FusedMultiplyAdd(Vector256.Create(x[(2 * k) + p]), y, s2);
                    s3 = Vector256.FusedMultiplyAdd(Vector256.Create(x[(3 * k) + p]), y, s3);
                }
                s0.Store(c);
                s1.Store(c + columns);
                s2.Store(c + (2 * columns));
                s3.Store(c + (3 * columns));
            }
        }
    }

    /// <summary>One exact step: c plus <paramref name="count"/> products of a[i] and b[i stride].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Step(float c, float* a, float* b, int stride, int count, PtxType type, int fraction)
    {
        int minimum = type == PtxType.F16 ? -14 : -126;
        double special = c;
        bool finite = float.IsFinite(c);
        for (int i = 0; i < count; i++)
        {
            float x = a[i], y = b[i * stride];
            if (float.IsFinite(x) && float.IsFinite(y)) continue;
            finite = false;
            special += (double)x * y;
        }
        if (!finite)
            return double.IsNaN(special) ? BitConverter.UInt32BitsToSingle(Floats.CanonicalNaN) : (float)special;

        int* exponents = stackalloc int[count + 1];
        long* significands = stackalloc long[count + 1];
        (significands[count], exponents[count]) = Split(c, -126);
        int highest = significands[count] != 0 ? exponents[count] : int.MinValue;
        for (int i = 0; i < count; i++)
        {
            (long x, int ex) = Split(a[i], minimum);
            (long y, int ey) = Split(b[i * stride], minimum);
            // Both carry 23 fraction bits; 46 minus 23 trailing zeros fits easily, since inputs have at most 11 bits.
            significands[i] = x * y >> 23;
            exponents[i] = ex + ey;
            if (x != 0 && y != 0) highest = Math.Max(highest, exponents[i]);
        }
        if (highest == int.MinValue) return 0;
        long sum = 0;
        for (int i = 0; i <= count; i++)
        {
            if (significands[i] == 0) continue;
            int shift = fraction - 23 - (highest - exponents[i]);
            long magnitude = Math.Abs(significands[i]);
            magnitude = shift >= 0 ? magnitude << shift : shift < -62 ? 0 : magnitude >> -shift;
            sum += significands[i] < 0 ? -magnitude : magnitude;
        }
        double value = Math.ScaleB(sum, highest - fraction);
        if (Math.Abs(value) >= 3.402823669209385e38) return value > 0 ? float.PositiveInfinity : float.NegativeInfinity;
        return (float)Floats.Round(value, 24, -126, float.MaxValue, Rounding.Zero);
    }

    /// <summary>Reads element <paramref name="index"/> of packed 32-bit words as the operand type.</summary>
    public static float Element(uint word, int index, PtxType type) => type switch
    {
        PtxType.F16 => Floats.F16(word >> (16 * index) & 0xFFFF),
        PtxType.BF16 => Floats.BF16(word >> (16 * index) & 0xFFFF),
        PtxType.S8 => (sbyte)(word >> (8 * index)),
        PtxType.U8 => (byte)(word >> (8 * index)),
        _ => BitConverter.UInt32BitsToSingle(word & 0xFFFFE000),
    };

    /// <summary>Signed significand with 23 fraction bits, and exponent no lower than the format's minimum.</summary>
    private static (long Significand, int Exponent) Split(float value, int minimum)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        int biased = (int)(bits >> 23) & 255;
        long significand = bits & 0x7FFFFF;
        if (biased != 0) significand |= 0x800000;
        int exponent = Math.Max(biased, 1) - 127;
        if (exponent < minimum)
        {
            significand >>= minimum - exponent;
            exponent = minimum;
        }
        return ((bits >> 31) != 0 ? -significand : significand, exponent);
    }
}
