using System.Numerics;
using System.Runtime.Intrinsics;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>mov with packing and unpacking, cvta, and address queries.</summary>
internal static unsafe partial class Instructions
{
    private static void AddMove(Dictionary<string, Action<InstructionBuilder>> table)
    {
        table["mov"] = DecodeMove;
        table["cvta"] = DecodeAddressConversion;
        table["isspacep"] = b =>
        {
            int space = b.TakeOneOf("global", "shared", "shared::cta", "shared::cluster", "local", "const", "param");
            b.NeedOperands(2);
            Instruction i = b.Result;
            i.D = b.Destination(0, PtxType.Pred);
            i.A = i.B = b.Source(1, PtxType.U64);
            i.WidthA = i.WidthB = 8;
            UsePredicate(b, (x, _) => space switch
            {
                0 => !Windows.IsShared(x) && !Windows.IsLocal(x),
                1 or 2 or 3 => Windows.IsShared(x),
                4 => Windows.IsLocal(x),
                _ => false,
            });
        };
    }

    private static void DecodeMove(InstructionBuilder b)
    {
        PtxType type = b.TakeType();
        b.NeedOperands(2);
        Instruction i = b.Result;
        if (type == PtxType.Pred)
        {
            i.D = b.Destination(0, PtxType.Pred);
            i.A = b.Operand(1).Kind == OperandKind.Special ? b.Source(1, PtxType.Pred)
                : b.Predicate(b.Operand(1), out i.Negate);
            i.Run = &MovePredicate;
            return;
        }
        PtxOperand to = b.Operand(0), from = b.Operand(1);
        if (to.Kind == OperandKind.Vector || from.Kind == OperandKind.Vector)
        {
            IReadOnlyList<PtxOperand> parts = to.Kind == OperandKind.Vector ? to.Items : from.Items;
            int bits = type.Size() * 8 / parts.Count;
            PtxType part = bits switch
            {
                8 => PtxType.B8,
                16 => PtxType.B16,
                32 => PtxType.B32,
                _ => throw b.Unsupported("unsupported pack or unpack"),
            };
            if (bits * parts.Count != type.Size() * 8) throw b.Unsupported("the parts must fill the whole");
            i.Size = bits;
            i.WidthA = type.Size() == 8 ? 8 : 4;
            bool unpack = to.Kind == OperandKind.Vector;
            i.Rows = b.Vector(unpack ? 0 : 1, parts.Count, part, destination: unpack);
            if (unpack) i.A = b.Source(1, type);
            else i.D = b.Destination(0, type);
            i.Run = unpack ? &Unpack : &Pack;
            return;
        }
        if (from.Kind == OperandKind.Special && SpecialRegisters.IsTime(from.Text))
        {
            i.D = b.Destination(0, type);
            if (!SpecialRegisters.IsKnown(from.Text) || SpecialRegisters.Width(from.Text) != type.Size())
                throw b.Unsupported("unknown special register or wrong width");
            i.WidthD = type.Size();
            i.Run = &ReadClock;
            return;
        }
        i.D = b.Destination(0, type);
        i.A = i.B = i.C = b.Source(1, type);
        if (type.Size() == 8) UseWideRows<CopyL>(b);
        else UseRows<CopyI>(b);
    }

    private static void MovePredicate(Warp w, Instruction i)
    {
        uint value = *(uint*)(w.Regs + i.A);
        SetPredicate(w, i.D, i.Negate ? ~value : value);
    }

    private static void Pack(Warp w, Instruction i)
    {
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong value = 0;
            ulong mask = (1ul << i.Size) - 1;
            for (int k = 0; k < i.Rows.Length; k++)
                value |= (((uint*)(w.Regs + i.Rows[k]))[lane] & mask) << (k * i.Size);
            if (i.WidthA == 8) ((ulong*)(w.Regs + i.D))[lane] = value;
            else ((uint*)(w.Regs + i.D))[lane] = (uint)value;
        }
    }

    private static void Unpack(Warp w, Instruction i)
    {
        ulong mask = (1ul << i.Size) - 1;
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong value = Lane(w.Regs + i.A, i.WidthA, lane);
            for (int k = 0; k < i.Rows.Length; k++)
            {
                if (i.Rows[k] >= 0) ((uint*)(w.Regs + i.Rows[k]))[lane] = (uint)(value >> (k * i.Size) & mask);
            }
        }
    }

    private static void ReadClock(Warp w, Instruction i)
    {
        ulong now = (ulong)w.CurrentCounters.WarpInstructions + (ulong)Environment.TickCount64 * 1000000;
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            if (i.WidthD == 8) ((ulong*)(w.Regs + i.D))[lane] = now;
            else ((uint*)(w.Regs + i.D))[lane] = (uint)now;
        }
    }

    private static void DecodeAddressConversion(InstructionBuilder b)
    {
        bool toSpace = b.Take("to");
        int space = b.TakeOneOf("global", "shared", "shared::cta", "shared::cluster", "local", "const", "param");
        if (space < 0) throw b.Unsupported("expected a state space");
        PtxType type = b.TakeType();
        if (type.Size() != 8) throw b.Unsupported("expected .u64");
        Operands(b, PtxType.U64, PtxType.U64);
        ulong window = space switch { 1 or 2 or 3 => Windows.Shared, 4 => Windows.Local, _ => 0 };
        UseLanes(b, toSpace ? (x, _, _) => x - window : (x, _, _) => x + window);
    }

    private readonly struct CopyI : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) => a;
    }

    private readonly struct CopyL : IWideVectorOp
    {
        public static Vector256<ulong> Do(Vector256<ulong> a, Vector256<ulong> b, Vector256<ulong> c) => a;
    }
}

/// <summary>Where shared and local memory appear among generic addresses.</summary>
internal static class Windows
{
    public const ulong Shared = 0x7000_0000_0000;
    public const ulong Local = 0x7100_0000_0000;
    private const ulong Size = 0x1_0000_0000;

    public static bool IsShared(ulong address) => address - Shared < Size;

    public static bool IsLocal(ulong address) => address - Local < Size;
}
