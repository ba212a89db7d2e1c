using System.Numerics;
using System.Runtime.Intrinsics;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>Logic, shifts, bit fields, permutes.</summary>
internal static unsafe partial class Instructions
{
    private static void AddBits(Dictionary<string, Action<InstructionBuilder>> table)
    {
        table["and"] = DecodeLogic;
        table["or"] = DecodeLogic;
        table["xor"] = DecodeLogic;
        table["not"] = DecodeLogic;
        table["cnot"] = b =>
        {
            PtxType type = b.TakeType();
            Operands(b, type, type);
            UseLanes(b, (x, _, _) => x == 0 ? 1ul : 0);
        };
        table["shl"] = DecodeShift;
        table["shr"] = DecodeShift;
        table["shf"] = DecodeFunnelShift;
        table["lop3"] = DecodeLop3;
        table["prmt"] = DecodePermute;
        table["popc"] = b => CountBits(b, (x, width) => BitOperations.PopCount(x));
        table["clz"] = b => CountBits(b, (x, width) => BitOperations.LeadingZeroCount(x) - (64 - width));
        table["brev"] = b =>
        {
            PtxType type = b.TakeType();
            Operands(b, type, type);
            int width = type.Size() * 8;
            UseLanes(b, (x, _, _) =>
            {
                ulong result = 0;
                for (int k = 0; k < width; k++) result |= (x >> k & 1) << (width - 1 - k);
                return result;
            });
        };
        table["bfind"] = DecodeFindBit;
        table["bfe"] = DecodeExtract;
        table["bfi"] = DecodeInsert;
    }

    private static void DecodeLogic(InstructionBuilder b)
    {
        PtxType type = b.TakeType();
        if (type == PtxType.Pred)
        {
            DecodePredicateLogic(b);
            return;
        }
        if (type is not (PtxType.B16 or PtxType.B32 or PtxType.B64))
            throw b.Unsupported("expected .pred, .b16, .b32 or .b64");
        bool wide = type.Size() == 8, narrow = type.Size() == 2;
        if (b.Opcode == "not")
        {
            Operands(b, type, type);
            UseLanes(b, narrow ? (x, _, _) => ~x & 0xFFFF : (x, _, _) => ~x);
            return;
        }
        Operands(b, type, type, type);
        switch (b.Opcode)
        {
            case "and" when wide: UseWideRows<AndL>(b); break;
            case "or" when wide: UseWideRows<OrL>(b); break;
            case "xor" when wide: UseWideRows<XorL>(b); break;
            case "and": UseRows<AndI>(b); break;
            case "or": UseRows<OrI>(b); break;
            default: UseRows<XorI>(b); break;
        }
    }

    private static void DecodePredicateLogic(InstructionBuilder b)
    {
        Instruction i = b.Result;
        b.NeedOperands(b.Opcode == "not" ? 2 : 3);
        i.D = b.Destination(0, PtxType.Pred);
        i.A = b.Predicate(b.Operand(1), out bool negateA);
        bool negateB = false;
        i.B = b.Opcode == "not" ? i.A : b.Predicate(b.Operand(2), out negateB);
        i.Mode = b.Opcode switch { "and" => 0, "or" => 1, "xor" => 2, _ => 3 };
        i.Mode2 = (negateA ? 1 : 0) | (negateB ? 2 : 0);
        i.Run = &PredicateLogic;
    }

    private static void PredicateLogic(Warp w, Instruction i)
    {
        uint a = *(uint*)(w.Regs + i.A), b = *(uint*)(w.Regs + i.B);
        if ((i.Mode2 & 1) != 0) a = ~a;
        if ((i.Mode2 & 2) != 0) b = ~b;
        uint result = i.Mode switch { 0 => a & b, 1 => a | b, 2 => a ^ b, _ => ~a };
        SetPredicate(w, i.D, result);
    }

    /// <summary>Writes predicate bits in the lanes that run.</summary>
    private static void SetPredicate(Warp w, int row, uint bits)
    {
        if (row < 0) return;
        uint* p = (uint*)(w.Regs + row);
        *p = (*p & ~w.Exec) | (bits & w.Exec);
    }

    private static void DecodeShift(InstructionBuilder b)
    {
        PtxType type = b.TakeType();
        if (type.IsFloat() || type.Size() < 2) throw b.Unsupported("expected an integer type");
        Operands(b, type, type, PtxType.U32);
        ulong bits = (ulong)type.Size() * 8;
        if (b.Opcode == "shl")
        {
            if (bits == 32) UseRows<ShiftLeft>(b);
            else UseLanes(b, (x, y, _) => y >= bits ? 0 : Narrow((long)(x << (int)y), type));
            return;
        }
        if (type == PtxType.S32) UseRows<ShiftRightS>(b);
        else if (bits == 32) UseRows<ShiftRightU>(b);
        else if (type.IsSigned()) UseLanes(b, (x, y, _) => Narrow(Extend(x, type) >> (int)Math.Min(y, 63), type));
        else UseLanes(b, (x, y, _) => y >= bits ? 0 : x >> (int)y);
    }

    private static void DecodeFunnelShift(InstructionBuilder b)
    {
        int direction = b.TakeOneOf("l", "r"), mode = b.TakeOneOf("clamp", "wrap");
        if (direction < 0 || mode < 0) throw b.Unsupported("expected .l or .r, and .clamp or .wrap");
        b.Need("b32");
        Operands(b, PtxType.B32, PtxType.B32, PtxType.B32, PtxType.U32);
        UseLanes(b, (low, high, count) =>
        {
            int n = mode == 0 ? (int)Math.Min(count, 32) : (int)count & 31;
            ulong both = (high << 32) | low;
            return (uint)(direction == 0 ? both << n >> 32 : n == 32 ? high : both >> n);
        });
    }

    private static void DecodeLop3(InstructionBuilder b)
    {
        b.Need("b32");
        b.NeedOperands(5);
        Instruction i = b.Result;
        i.D = b.Destination(0, PtxType.B32);
        i.A = b.Source(1, PtxType.B32);
        i.B = b.Source(2, PtxType.B32);
        i.C = b.Source(3, PtxType.B32);
        i.Mode = (int)b.Constant(4, 0, 255);
        i.Run = &Lop3;
    }

    private static void Lop3(Warp w, Instruction i)
    {
        uint* a = (uint*)(w.Regs + i.A), b = (uint*)(w.Regs + i.B), c = (uint*)(w.Regs + i.C),
            d = (uint*)(w.Regs + i.D);
        int table = i.Mode;
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            uint x = a[lane], y = b[lane], z = c[lane], result = 0;
            for (int k = 0; k < 8; k++)
            {
                if ((table >> k & 1) != 0) result |= ((k & 4) != 0 ? x : ~x) & ((k & 2) != 0 ? y : ~y)
                    & ((k & 1) != 0 ? z : ~z);
            }
            d[lane] = result;
        }
    }

    private static void DecodePermute(InstructionBuilder b)
    {
        int mode = b.TakeOneOf("f4e", "b4e", "rc8", "ecl", "ecr", "rc16");
        b.Need("b32");
        Operands(b, PtxType.B32, PtxType.B32, PtxType.B32, PtxType.B32);
        UseLanes(b, (low, high, control) =>
        {
            ulong both = (high << 32) | low;
            int c = (int)control & 3;
            uint result = 0;
            for (int k = 0; k < 4; k++)
            {
                int select = mode switch
                {
                    0 => c + k,
                    1 => (c - k) & 7,
                    2 => c,
                    3 => Math.Max(c, k),
                    4 => Math.Min(c, k),
                    5 => ((c & 1) * 2) + (k & 1),
                    _ => (int)(control >> (4 * k)) & 15,
                };
                uint value = (byte)(both >> (8 * (select & 7)));
                if (mode < 0 && (select & 8) != 0) value = (value & 0x80) != 0 ? 0xFFu : 0;
                result |= value << (8 * k);
            }
            return result;
        });
    }

    private static void CountBits(InstructionBuilder b, Func<ulong, int, int> count)
    {
        PtxType type = b.TakeType();
        if (type is not (PtxType.B32 or PtxType.B64)) throw b.Unsupported("expected .b32 or .b64");
        Operands(b, PtxType.U32, type);
        int width = type.Size() * 8;
        UseLanes(b, (x, _, _) => (uint)count(x, width));
    }

    private static void DecodeFindBit(InstructionBuilder b)
    {
        bool shift = b.Take("shiftamt");
        PtxType type = b.TakeType();
        Operands(b, PtxType.U32, type);
        int width = type.Size() * 8;
        UseLanes(b, (x, _, _) =>
        {
            long value = Extend(x, type);
            ulong bits = type.IsSigned() && value < 0 ? (ulong)~value : (ulong)value;
            if (bits == 0) return uint.MaxValue;
            int at = 63 - BitOperations.LeadingZeroCount(bits);
            return (uint)(shift ? width - 1 - at : at);
        });
    }

    private static void DecodeExtract(InstructionBuilder b)
    {
        PtxType type = b.TakeType();
        if (type.Size() < 4 || type.IsFloat()) throw b.Unsupported("expected .u32, .u64, .s32 or .s64");
        Operands(b, type, type, PtxType.U32, PtxType.U32);
        int top = (type.Size() * 8) - 1;
        UseLanes(b, (x, y, z) =>
        {
            int at = (int)(y & 255), length = (int)(z & 255);
            bool negative = type.IsSigned() && length > 0 && (x >> Math.Min(at + length - 1, top) & 1) != 0;
            ulong result = 0;
            for (int k = 0; k <= top; k++)
            {
                bool bit = k < length && at + k <= top ? (x >> (at + k) & 1) != 0 : negative;
                if (bit) result |= 1ul << k;
            }
            return result;
        });
    }

    private static void DecodeInsert(InstructionBuilder b)
    {
        PtxType type = b.TakeType();
        if (type is not (PtxType.B32 or PtxType.B64)) throw b.Unsupported("expected .b32 or .b64");
        b.NeedOperands(5);
        Instruction i = b.Result;
        i.D = b.Destination(0, type);
        i.A = b.Source(1, type);
        i.B = b.Source(2, type);
        i.C = b.Source(3, PtxType.U32);
        i.E = b.Source(4, PtxType.U32);
        i.WidthA = i.WidthB = i.WidthD = type.Size();
        i.Run = &Insert;
    }

    private static void Insert(Warp w, Instruction i)
    {
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong from = Lane(w.Regs + i.A, i.WidthA, lane), into = Lane(w.Regs + i.B, i.WidthB, lane);
            int at = (int)Lane(w.Regs + i.C, 4, lane) & 255, length = (int)Lane(w.Regs + i.E, 4, lane) & 255;
            for (int k = 0; k < length && at + k < i.WidthD * 8; k++)
                into = (into & ~(1ul << (at + k))) | ((k < 64 ? from >> k & 1 : 0) << (at + k));
            if (i.WidthD == 8) ((ulong*)(w.Regs + i.D))[lane] = into;
            else ((uint*)(w.Regs + i.D))[lane] = (uint)into;
        }
    }

    private readonly struct AndI : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) => a & b;
    }

    private readonly struct OrI : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) => a | b;
    }

    private readonly struct XorI : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) => a ^ b;
    }

    private readonly struct AndL : IWideVectorOp
    {
        public static Vector256<ulong> Do(Vector256<ulong> a, Vector256<ulong> b, Vector256<ulong> c) => a & b;
    }

    private readonly struct OrL : IWideVectorOp
    {
        public static Vector256<ulong> Do(Vector256<ulong> a, Vector256<ulong> b, Vector256<ulong> c) => a | b;
    }

    private readonly struct XorL : IWideVectorOp
    {
        public static Vector256<ulong> Do(Vector256<ulong> a, Vector256<ulong> b, Vector256<ulong> c) => a ^ b;
    }

    private readonly struct ShiftLeft : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) =>
            Vector256.LessThan(b, Vector256.Create(32u)) & Shift.Left(a, b);
    }

    private readonly struct ShiftRightU : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) =>
            Vector256.LessThan(b, Vector256.Create(32u)) & Shift.Right(a, b);
    }

    private readonly struct ShiftRightS : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) =>
            Shift.RightSigned(a, Vector256.Min(b, Vector256.Create(31u)));
    }
}
