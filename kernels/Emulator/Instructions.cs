using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>A body on eight 32-bit lanes at once.</summary>
internal interface IVectorOp
{
    static abstract Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c);
}

/// <summary>A body on four 64-bit lanes at once.</summary>
internal interface IWideVectorOp
{
    static abstract Vector256<ulong> Do(Vector256<ulong> a, Vector256<ulong> b, Vector256<ulong> c);
}

/// <summary>All instructions, by subject in the other parts: how each is decoded, and the bodies that run it.</summary>
internal static unsafe partial class Instructions
{
    /// <summary>Decoders by opcode.</summary>
    public static readonly Dictionary<string, Action<InstructionBuilder>> Table = MakeTable();

    private static Dictionary<string, Action<InstructionBuilder>> MakeTable()
    {
        var table = new Dictionary<string, Action<InstructionBuilder>>(StringComparer.Ordinal);
        AddInteger(table);
        AddBits(table);
        AddFloat(table);
        AddApproximate(table);
        AddCompare(table);
        AddMove(table);
        AddConvert(table);
        AddControl(table);
        AddCalls(table);
        AddWarp(table);
        AddMemory(table);
        AddAtomic(table);
        AddMatrix(table);
        AddMma(table);
        AddAsync(table);
        AddMBarrier(table);
        AddCluster(table);
        AddWgmma(table);
        return table;
    }

    /// <summary>Runs a vector body over 32-bit rows in the lanes that run.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Rows<TOp>(Warp w, Instruction i)
        where TOp : struct, IVectorOp
    {
        byte* r = w.Regs;
        var a = (Vector256<uint>*)(r + i.A);
        var b = (Vector256<uint>*)(r + i.B);
        var c = (Vector256<uint>*)(r + i.C);
        var d = (Vector256<uint>*)(r + i.D);
        uint exec = w.Exec;
        if (exec == uint.MaxValue)
        {
            d[0] = TOp.Do(a[0], b[0], c[0]);
            d[1] = TOp.Do(a[1], b[1], c[1]);
            d[2] = TOp.Do(a[2], b[2], c[2]);
            d[3] = TOp.Do(a[3], b[3], c[3]);
            return;
        }
        for (int k = 0; k < 4; k++)
            d[k] = Vector256.ConditionalSelect(Warp.Mask32(exec, k), TOp.Do(a[k], b[k], c[k]), d[k]);
    }

    /// <summary>Runs a vector body over 64-bit rows in the lanes that run.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WideRows<TOp>(Warp w, Instruction i)
        where TOp : struct, IWideVectorOp
    {
        byte* r = w.Regs;
        var a = (Vector256<ulong>*)(r + i.A);
        var b = (Vector256<ulong>*)(r + i.B);
        var c = (Vector256<ulong>*)(r + i.C);
        var d = (Vector256<ulong>*)(r + i.D);
        uint exec = w.Exec;
        for (int k = 0; k < 8; k++)
        {
            Vector256<ulong> value = TOp.Do(a[k], b[k], c[k]);
            d[k] = exec == uint.MaxValue ? value : Vector256.ConditionalSelect(Warp.Mask64(exec, k), value, d[k]);
        }
    }

    /// <summary>Runs the instruction's lane function, for operands of any width.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void EachLane(Warp w, Instruction i)
    {
        byte* a = w.Regs + i.A, b = w.Regs + i.B, c = w.Regs + i.C, d = w.Regs + i.D;
        LaneFunction body = i.Lane!;
        if (i.WidthA == 4 && i.WidthB == 4 && i.WidthC == 4 && i.WidthD == 4)
        {
            for (uint m = w.Exec; m != 0; m &= m - 1)
            {
                int lane = BitOperations.TrailingZeroCount(m);
                ((uint*)d)[lane] = (uint)body(((uint*)a)[lane], ((uint*)b)[lane], ((uint*)c)[lane]);
            }
            return;
        }
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong result = body(Lane(a, i.WidthA, lane), Lane(b, i.WidthB, lane), Lane(c, i.WidthC, lane));
            if (i.WidthD == 8) ((ulong*)d)[lane] = result;
            else ((uint*)d)[lane] = (uint)result;
        }
    }

    private static ulong Lane(byte* row, int width, int lane) => width == 8 ? ((ulong*)row)[lane] : ((uint*)row)[lane];

    /// <summary>Takes d, a (, b, c) of one type and gives the instruction a vector body.</summary>
    private static void UseRows<TOp>(InstructionBuilder b)
        where TOp : struct, IVectorOp => b.Result.Run = &Rows<TOp>;

    private static void UseWideRows<TOp>(InstructionBuilder b)
        where TOp : struct, IWideVectorOp => b.Result.Run = &WideRows<TOp>;

    private static void UseLanes(InstructionBuilder b, LaneFunction body)
    {
        b.Result.Lane = body;
        b.Result.Run = &EachLane;
    }

    /// <summary>Decodes operands d, a, b, c with the given types; absent ones repeat a.</summary>
    private static void Operands(InstructionBuilder b, PtxType d, PtxType a, PtxType second = PtxType.None,
        PtxType third = PtxType.None)
    {
        b.NeedOperands(2 + (second == PtxType.None ? 0 : 1) + (third == PtxType.None ? 0 : 1));
        Instruction i = b.Result;
        i.D = b.Destination(0, d);
        if (i.D < 0) throw b.Unsupported("the destination may not be '_'");
        i.A = b.Source(1, a);
        i.B = second == PtxType.None ? i.A : b.Source(2, second);
        i.C = third == PtxType.None ? i.B : b.Source(3, third);
        i.WidthD = Width(d);
        i.WidthA = Width(a);
        i.WidthB = second == PtxType.None ? i.WidthA : Width(second);
        i.WidthC = third == PtxType.None ? i.WidthB : Width(third);
    }

    private static int Width(PtxType type) => type.Size() == 8 ? 8 : 4;
}
