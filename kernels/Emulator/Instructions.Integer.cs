using System.Numerics;
using System.Runtime.Intrinsics;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>Integer add, subtract, multiply, divide, minimum, maximum.</summary>
internal static unsafe partial class Instructions
{
    private static void AddInteger(Dictionary<string, Action<InstructionBuilder>> table)
    {
        table["add"] = b => AddLike(b, 2);
        table["sub"] = b => AddLike(b, 2);
        table["mul"] = b => MulLike(b, hasAddend: false);
        table["mad"] = b => MulLike(b, hasAddend: true);
        table["div"] = DecodeDivide;
        table["rem"] = DecodeDivide;
        table["min"] = b => AddLike(b, 2);
        table["max"] = b => AddLike(b, 2);
        table["abs"] = b => AddLike(b, 1);
        table["neg"] = b => AddLike(b, 1);
        table["sad"] = b =>
        {
            PtxType type = b.TakeType();
            Operands(b, type, type, type, type);
            UseLanes(b, type.IsSigned()
                ? (x, y, z) => (ulong)(Math.Abs(Extend(x, type) - Extend(y, type)) + (long)z)
                : (x, y, z) => (x > y ? x - y : y - x) + z);
        };
        table["dp4a"] = b =>
        {
            PtxType a = b.TakeType(), c = b.TakeType();
            Operands(b, PtxType.B32, PtxType.B32, PtxType.B32, PtxType.B32);
            UseLanes(b, (x, y, z) =>
            {
                int sum = (int)z;
                for (int k = 0; k < 4; k++)
                {
                    int p = (byte)(x >> (8 * k)), q = (byte)(y >> (8 * k));
                    sum += (a == PtxType.S32 ? (sbyte)p : p) * (c == PtxType.S32 ? (sbyte)q : q);
                }
                return (uint)sum;
            });
        };
    }

    /// <summary>The value of an integer of the type's size, sign-extended when it is signed.</summary>
    private static long Extend(ulong bits, PtxType type) => type switch
    {
        PtxType.S8 => (sbyte)bits,
        PtxType.U8 or PtxType.B8 => (byte)bits,
        PtxType.S16 => (short)bits,
        PtxType.U16 or PtxType.B16 => (ushort)bits,
        PtxType.S32 => (int)bits,
        PtxType.U32 or PtxType.B32 => (uint)bits,
        _ => (long)bits,
    };

    private static ulong Narrow(long value, PtxType type) => type.Size() == 2 ? (ushort)value : (ulong)value;

    private static void AddLike(InstructionBuilder b, int operands)
    {
        bool saturate = b.Opcode is "add" or "sub" && b.Take("sat");
        string op = b.Opcode;
        if (b.Operand(0).Register?.Type is { } and not PtxType.Pred && IsFloatForm(b, out PtxType type))
        {
            DecodeFloat(b, type, saturate);
            return;
        }
        type = b.TakeType();
        if (type.Size() < 2 || type.ToString()[0] == 'B')
            throw b.Unsupported("expected an integer type of 16 to 64 bits");
        if (saturate && type != PtxType.S32) throw b.Unsupported(".sat is for .s32 only");
        if (operands == 1) Operands(b, type, type);
        else Operands(b, type, type, type);
        if (saturate)
        {
            UseLanes(b, (x, y, _) =>
                (uint)Math.Clamp(op == "add" ? (long)(int)x + (int)y : (long)(int)x - (int)y, int.MinValue,
                int.MaxValue));
            return;
        }
        switch (op, type)
        {
            case ("add", PtxType.U32 or PtxType.S32): UseRows<AddI>(b); return;
            case ("sub", PtxType.U32 or PtxType.S32): UseRows<SubI>(b); return;
            case ("min", PtxType.U32): UseRows<MinU>(b); return;
            case ("max", PtxType.U32): UseRows<MaxU>(b); return;
            case ("min", PtxType.S32): UseRows<MinS>(b); return;
            case ("max", PtxType.S32): UseRows<MaxS>(b); return;
            case ("add", PtxType.U64 or PtxType.S64): UseWideRows<AddL>(b); return;
            case ("sub", PtxType.U64 or PtxType.S64): UseWideRows<SubL>(b); return;
        }
        UseLanes(b, (op, type.IsSigned()) switch
        {
            ("add", _) => (x, y, _) => Narrow((long)(x + y), type),
            ("sub", _) => (x, y, _) => Narrow((long)(x - y), type),
            ("min", true) => (x, y, _) => Narrow(Math.Min(Extend(x, type), Extend(y, type)), type),
            ("max", true) => (x, y, _) => Narrow(Math.Max(Extend(x, type), Extend(y, type)), type),
            ("min", false) => (x, y, _) => Math.Min(x, y),
            ("max", false) => (x, y, _) => Math.Max(x, y),
            ("abs", true) => (x, _, _) => Narrow(Extend(x, type) < 0 ? 0 - Extend(x, type) : Extend(x, type), type),
            ("neg", true) => (x, _, _) => Narrow(0 - Extend(x, type), type),
            _ => throw b.Unsupported("expected a signed type"),
        });
    }

    private static void MulLike(InstructionBuilder b, bool hasAddend)
    {
        int part = b.TakeOneOf("lo", "hi", "wide");
        if (part < 0)
        {
            bool saturate = b.Take("sat");
            if (!IsFloatForm(b, out PtxType real)) throw b.Unsupported("expected .lo, .hi or .wide");
            DecodeFloat(b, real, saturate);
            return;
        }
        PtxType type = b.TakeType();
        if (type.Size() < 2 || type.IsFloat() || type.ToString()[0] == 'B')
            throw b.Unsupported("expected an integer type");
        PtxType result = part != 2 ? type : (type, type.IsSigned()) switch
        {
            (PtxType.U16 or PtxType.S16, true) => PtxType.S32,
            (PtxType.U16 or PtxType.S16, false) => PtxType.U32,
            (PtxType.U32 or PtxType.S32, true) => PtxType.S64,
            (PtxType.U32 or PtxType.S32, false) => PtxType.U64,
            _ => throw b.Unsupported(".wide takes 16 or 32-bit types"),
        };
        if (hasAddend) Operands(b, result, type, type, result);
        else Operands(b, result, type, type);
        if (part == 0 && type.Size() == 4)
        {
            if (hasAddend) UseRows<MadI>(b);
            else UseRows<MulI>(b);
            return;
        }
        bool signed = type.IsSigned();
        LaneFunction product = (part, type.Size(), signed) switch
        {
            (0, _, _) => (x, y, _) => x * y,
            (2, 4, false) => (x, y, _) => x * y,
            (2, _, _) => (x, y, _) => (ulong)(Extend(x, type) * Extend(y, type)),
            (1, 2, _) => (x, y, _) => (ulong)((Extend(x, type) * Extend(y, type)) >> 16) & 0xFFFF,
            (1, 4, _) => (x, y, _) => (ulong)((Extend(x, type) * Extend(y, type)) >> 32),
            (1, _, true) => (x, y, _) => (ulong)Math.BigMul((long)x, (long)y, out long _),
            _ => (x, y, _) => Math.BigMul(x, y, out ulong _),
        };
        if (part == 1 && type == PtxType.U32) product = (x, y, _) => x * y >> 32;
        if (hasAddend)
        {
            LaneFunction only = product;
            product = (x, y, z) => only(x, y, 0) + z;
        }
        if (result.Size() == 2)
        {
            LaneFunction wide = product;
            product = (x, y, z) => wide(x, y, z) & 0xFFFF;
        }
        UseLanes(b, product);
    }

    private static void DecodeDivide(InstructionBuilder b)
    {
        bool saturate = b.Take("sat");
        if (b.Opcode == "div" && IsFloatForm(b, out PtxType real))
        {
            DecodeFloat(b, real, saturate);
            return;
        }
        PtxType type = b.TakeType();
        if (type.IsFloat() || type.ToString()[0] == 'B') throw b.Unsupported("expected an integer type");
        Operands(b, type, type, type);
        bool remainder = b.Opcode == "rem";
        // Division by zero is defined by no rule; all ones is what the hardware gives for the quotient.
        UseLanes(b, type.IsSigned()
            ? (x, y, _) =>
            {
                long n = Extend(x, type), d = Extend(y, type);
                if (d == 0) return remainder ? x : Narrow(-1, type);
                if (d == -1) return remainder ? 0 : Narrow(0 - n, type);
                return Narrow(remainder ? n % d : n / d, type);
            }
        : (x, y, _) => y == 0 ? (remainder ? x : Narrow(-1, type)) : remainder ? x % y : x / y);
    }

    private readonly struct AddI : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) => a + b;
    }

    private readonly struct SubI : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) => a - b;
    }

    private readonly struct MulI : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) => a * b;
    }

    private readonly struct MadI : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) => (a * b) + c;
    }

    private readonly struct MinU : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) =>
            Vector256.Min(a, b);
    }

    private readonly struct MaxU : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) =>
            Vector256.Max(a, b);
    }

    private readonly struct MinS : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) =>
            Vector256.Min(a.AsInt32(), b.AsInt32()).AsUInt32();
    }

    private readonly struct MaxS : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) =>
            Vector256.Max(a.AsInt32(), b.AsInt32()).AsUInt32();
    }

    private readonly struct AddL : IWideVectorOp
    {
        public static Vector256<ulong> Do(Vector256<ulong> a, Vector256<ulong> b, Vector256<ulong> c) => a + b;
    }

    private readonly struct SubL : IWideVectorOp
    {
        public static Vector256<ulong> Do(Vector256<ulong> a, Vector256<ulong> b, Vector256<ulong> c) => a - b;
    }
}
