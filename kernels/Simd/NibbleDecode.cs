using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// Turns 4-bit codes into floats in registers: a bit field of each lane's own selects the code, a permutation of the
/// codebook looks it up. The same product in every path, so the bits do not depend on the hardware.
/// </summary>
internal static unsafe class NibbleDecode
{
    /// <summary>True when sixteen codes are decoded by one shift and one permutation.</summary>
    public static bool Is512 => Avx512Vbmi.IsSupported;

    /// <summary>True when eight codes are decoded at once.</summary>
    public static bool Is256 => Avx2.IsSupported;

    /// <summary>
    /// target = codebook[code] * scale for <paramref name="count"/> elements of one block from <paramref
    /// name="first"/>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(byte* codes, long first, int count, float scale, float* codebook, float* target)
    {
        byte* from = codes + (first >> 1);
        int i = 0;
        if ((first & 1) != 0 && count > 0)
        {
            target[0] = codebook[*from++ & 15] * scale;
            i = 1;
        }
        if (Is512)
        {
            Vector512<float> table = Vector512.Load(codebook), factor = Vector512.Create(scale);
            Vector512<byte> fields = Fields();
            for (; i <= count - 16; i += 16, from += 8)
                (Sixteen(from, fields, table) * factor).Store(target + i);
        }
        else if (Is256)
        {
            Vector256<float> low = Vector256.Load(codebook), high = Vector256.Load(codebook + 8);
            Vector256<float> factor = Vector256.Create(scale);
            Vector256<uint> shifts = Shifts();
            for (; i <= count - 8; i += 8, from += 4)
                (Eight(from, shifts, low, high) * factor).Store(target + i);
        }
        for (; i <= count - 2; i += 2, from++)
        {
            target[i] = codebook[*from >> 4] * scale;
            target[i + 1] = codebook[*from & 15] * scale;
        }
        if (i < count)
            target[i] = codebook[*from >> 4] * scale;
    }

    /// <summary>The bit at which each lane's code begins, for <see cref="Sixteen"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Fields()
    {
        // Lane pair j reads byte j: its high half for the even lane, its low half for the odd one.
        Vector512<ulong> pair = Vector512.Create(
            0x00UL | 4, 8UL | 4, 16UL | 4, 24UL | 4, 32UL | 4, 40UL | 4, 48UL | 4, 56UL | 4);
        Vector512<ulong> odd = Vector512.Create(0UL, 8, 16, 24, 32, 40, 48, 56) << 32;
        return (pair | odd).AsByte();
    }

    /// <summary>Values of sixteen codes. The permutation reads the low four bits of a lane only.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Sixteen(byte* from, Vector512<byte> fields, Vector512<float> table)
    {
        Vector512<ulong> bytes = Vector512.Create(Unsafe.ReadUnaligned<ulong>(from));
        return Avx512F.PermuteVar16x32(table, Avx512Vbmi.MultiShift(fields, bytes).AsInt32());
    }

    /// <summary>The shift that brings each lane's code down, for <see cref="Eight"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> Shifts() => Vector256.Create(4u, 0, 12, 8, 20, 16, 28, 24);

    /// <summary>Values of eight codes: the lower three bits pick from both halves, the fourth picks the half.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Eight(
        byte* from, Vector256<uint> shifts, Vector256<float> low, Vector256<float> high)
    {
        Vector256<uint> bytes = Vector256.Create(Unsafe.ReadUnaligned<uint>(from));
        Vector256<int> code = Avx2.ShiftRightLogicalVariable(bytes, shifts).AsInt32();
        return Avx.BlendVariable(
            Avx2.PermuteVar8x32(low, code), Avx2.PermuteVar8x32(high, code), (code << 28).AsSingle());
    }
}
