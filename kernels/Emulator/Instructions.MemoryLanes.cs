using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace CudaLora.Kernels.Emulator;

/// <summary>The bodies of loads and stores: lane by lane, or a line of a whole warp at once.</summary>
internal static unsafe partial class Instructions
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void LoadWords(Warp w, Instruction i)
    {
        w.Resolve(i, 4 * i.Count, Access.Read);
        if (i.Mode2 == 1) w.Cluster.Synchronise(w);
        if (w.IsConsecutive && LoadLine(w, i)) return;
        for (int v = 0; v < i.Rows.Length; v++)
        {
            if (i.Rows[v] < 0) continue;
            uint* to = (uint*)(w.Regs + i.Rows[v]);
            for (uint m = w.Exec; m != 0; m &= m - 1)
            {
                int lane = BitOperations.TrailingZeroCount(m);
                to[lane] = ((uint*)w.Pointers[lane])[v];
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Load(Warp w, Instruction i)
    {
        w.Resolve(i, i.Size * i.Count, Access.Read);
        if (i.Mode2 == 1) w.Cluster.Synchronise(w);
        if (w.IsConsecutive && i is { Size: 2, Count: 1, Signed: false, WidthD: 4 } && i.Rows[0] >= 0)
        {
            Widen((ushort*)w.Pointers[0], (uint*)(w.Regs + i.Rows[0]));
            return;
        }
        for (int v = 0; v < i.Rows.Length; v++)
        {
            if (i.Rows[v] < 0) continue;
            for (uint m = w.Exec; m != 0; m &= m - 1)
            {
                int lane = BitOperations.TrailingZeroCount(m);
                ulong value = ReadElement(w.Pointers[lane] + (v * i.Size), i.Size, i.Signed);
                if (i.Mode == 2) value = (ushort)value;
                WriteLane(w, i.Rows[v], i.WidthD, lane, value);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Store(Warp w, Instruction i)
    {
        if (i.Mode2 == 1) w.Cluster.Synchronise(w);
        w.Resolve(i, i.Size * i.Count, Access.Write);
        if (w.IsConsecutive && i is { Size: 4, WidthD: 4 } && StoreLine(w, i)) return;
        for (int v = 0; v < i.Rows.Length; v++)
        {
            byte* from = w.Regs + i.Rows[v];
            for (uint m = w.Exec; m != 0; m &= m - 1)
            {
                int lane = BitOperations.TrailingZeroCount(m);
                byte* to = w.Pointers[lane] + (v * i.Size);
                ulong value = Lane(from, i.WidthD, lane);
                switch (i.Size)
                {
                    case 1: *to = (byte)value; break;
                    case 2: *(ushort*)to = (ushort)value; break;
                    case 4: *(uint*)to = (uint)value; break;
                    default: *(ulong*)to = value; break;
                }
            }
        }
    }

    /// <summary>32 halves into a row of words.</summary>
    private static void Widen(ushort* from, uint* to)
    {
        for (int k = 0; k < 32; k += 16)
        {
            (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(Vector256.Load(from + k));
            Vector256.Store(low, to + k);
            Vector256.Store(high, to + k + 8);
        }
    }

    /// <summary>Words, or quads that go to four rows; false for other shapes.</summary>
    private static bool LoadLine(Warp w, Instruction i)
    {
        uint* from = (uint*)w.Pointers[0];
        if (i.Count == 1)
        {
            if (i.Rows[0] < 0) return false;
            uint* to = (uint*)(w.Regs + i.Rows[0]);
            for (int k = 0; k < 32; k += 8) Vector256.Store(Vector256.Load(from + k), to + k);
            return true;
        }
        if (i.Count != 4 || i.Rows[0] < 0 || i.Rows[1] < 0 || i.Rows[2] < 0 || i.Rows[3] < 0) return false;
        uint* a = (uint*)(w.Regs + i.Rows[0]), b = (uint*)(w.Regs + i.Rows[1]), c = (uint*)(w.Regs + i.Rows[2]),
            d = (uint*)(w.Regs + i.Rows[3]);
        for (int lane = 0; lane < 32; lane += 4, from += 16)
        {
            Transpose(Vector128.Load(from), Vector128.Load(from + 4), Vector128.Load(from + 8),
                Vector128.Load(from + 12), a + lane, b + lane, c + lane, d + lane);
        }
        return true;
    }

    private static bool StoreLine(Warp w, Instruction i)
    {
        uint* to = (uint*)w.Pointers[0];
        if (i.Count == 1)
        {
            uint* from = (uint*)(w.Regs + i.Rows[0]);
            for (int k = 0; k < 32; k += 8) Vector256.Store(Vector256.Load(from + k), to + k);
            return true;
        }
        if (i.Count != 4) return false;
        uint* a = (uint*)(w.Regs + i.Rows[0]), b = (uint*)(w.Regs + i.Rows[1]), c = (uint*)(w.Regs + i.Rows[2]),
            d = (uint*)(w.Regs + i.Rows[3]);
        for (int lane = 0; lane < 32; lane += 4, to += 16)
        {
            Transpose(Vector128.Load(a + lane), Vector128.Load(b + lane), Vector128.Load(c + lane),
                Vector128.Load(d + lane), to, to + 4, to + 8, to + 12);
        }
        return true;
    }

    /// <summary>Four rows of four words, written as columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose(Vector128<uint> r0, Vector128<uint> r1, Vector128<uint> r2, Vector128<uint> r3,
        uint* c0, uint* c1, uint* c2, uint* c3)
    {
        if (Sse2.IsSupported)
        {
            Vector128<uint> low01 = Sse2.UnpackLow(r0, r1),
                high01 = Sse2.UnpackHigh(r0, r1),
                low23 = Sse2.UnpackLow(r2, r3),
                high23 = Sse2.UnpackHigh(r2, r3);
            Sse2.UnpackLow(low01.AsUInt64(), low23.AsUInt64()).AsUInt32().Store(c0);
            Sse2.UnpackHigh(low01.AsUInt64(), low23.AsUInt64()).AsUInt32().Store(c1);
            Sse2.UnpackLow(high01.AsUInt64(), high23.AsUInt64()).AsUInt32().Store(c2);
            Sse2.UnpackHigh(high01.AsUInt64(), high23.AsUInt64()).AsUInt32().Store(c3);
            return;
        }
        Vector128.Create(r0[0], r1[0], r2[0], r3[0]).Store(c0);
        Vector128.Create(r0[1], r1[1], r2[1], r3[1]).Store(c1);
        Vector128.Create(r0[2], r1[2], r2[2], r3[2]).Store(c2);
        Vector128.Create(r0[3], r1[3], r2[3], r3[3]).Store(c3);
    }
}
