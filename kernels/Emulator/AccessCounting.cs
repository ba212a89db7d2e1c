using System.Numerics;
using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Emulator;

/// <summary>How a warp's accesses fall on 32-byte sectors and on shared-memory banks.</summary>
internal static unsafe class AccessCounting
{
    /// <summary>Distinct 32-byte sectors that the lanes touch.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Sectors(ulong* addresses, uint lanes, int bytes)
    {
        ulong* seen = stackalloc ulong[64];
        int count = 0;
        for (uint m = lanes; m != 0; m &= m - 1)
        {
            ulong first = addresses[BitOperations.TrailingZeroCount(m)] >> 5;
            bool known = false;
            for (int k = count - 1; k >= 0 && !known; k--) known = seen[k] == first;
            if (!known) seen[count++] = first;
        }
        return count * Math.Max(bytes / 32, 1);
    }

    /// <summary>
    /// Wavefronts beyond the minimum. 8-byte accesses go by half warps, 16-byte by quarters; in each group a bank
    /// serves one 4-byte word at a time, and lanes that read the same word share it.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int ExtraWavefronts(ulong* addresses, uint lanes, int bytes)
    {
        int words = Math.Max(bytes / 4, 1), group = 32 / words, extra = 0;
        uint* bankWord = stackalloc uint[32 * 32];
        byte* depth = stackalloc byte[32];
        for (int start = 0; start < 32; start += group)
        {
            uint part = lanes & (group == 32 ? uint.MaxValue : ((1u << group) - 1) << start);
            if (part == 0) continue;
            ulong low = ulong.MaxValue, high = 0;
            for (uint m = part; m != 0; m &= m - 1)
            {
                ulong address = addresses[BitOperations.TrailingZeroCount(m)];
                low = Math.Min(low, address);
                high = Math.Max(high, address);
            }
            if (high - low < 128 && (high + (ulong)bytes - 1) >> 2 < (low >> 2) + 32) continue;
            new Span<byte>(depth, 32).Clear();
            int most = 1;
            for (uint m = part; m != 0; m &= m - 1)
            {
                uint word = (uint)(addresses[BitOperations.TrailingZeroCount(m)] >> 2);
                for (int k = 0; k < words; k++, word++)
                {
                    int bank = (int)(word & 31), n = depth[bank];
                    bool known = false;
                    for (int e = 0; e < n && !known; e++) known = bankWord[(bank * 32) + e] == word;
                    if (known) continue;
                    bankWord[(bank * 32) + n] = word;
                    depth[bank] = (byte)(n + 1);
                    most = Math.Max(most, n + 1);
                }
            }
            extra += most - 1;
        }
        return extra;
    }
}
