using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>Comparisons and selection.</summary>
internal static unsafe partial class Instructions
{
    private static readonly string[] Comparisons =
        ["eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu", "gtu", "geu", "num",
            "nan"];

    private static void AddCompare(Dictionary<string, Action<InstructionBuilder>> table)
    {
        table["setp"] = DecodeSetPredicate;
        table["set"] = DecodeSet;
        table["selp"] = DecodeSelect;
        table["slct"] = b =>
        {
            b.Take("ftz");
            PtxType type = b.TakeType(), sign = b.TakeType();
            Operands(b, type, type, type, sign);
            UseLanes(b, sign == PtxType.F32
                ? (x, y, z) => Floats.F32(z) >= 0 ? x : y
                : (x, y, z) => (int)z >= 0 ? x : y);
        };
    }

    private static int TakeComparison(InstructionBuilder b)
    {
        int which = b.TakeOneOf(Comparisons);
        return which >= 0 ? which : throw b.Unsupported("expected a comparison such as .lt");
    }

    private static void DecodeSetPredicate(InstructionBuilder b)
    {
        int comparison = TakeComparison(b), combine = b.TakeOneOf("and", "or", "xor");
        bool flush = b.Take("ftz");
        PtxType type = b.TakeType();
        Instruction i = b.Result;
        b.NeedOperands(combine < 0 ? 3 : 4);
        PtxOperand target = b.Operand(0);
        if (target.Kind == OperandKind.Pair)
        {
            i.D = b.Destination(target.Items[0], PtxType.Pred);
            i.D2 = b.Destination(target.Items[1], PtxType.Pred);
        }
        else
        {
            i.D = b.Destination(target, PtxType.Pred);
        }
        i.A = b.Source(1, type);
        i.B = b.Source(2, type);
        i.C = combine < 0 ? -1 : b.Predicate(b.Operand(3), out i.Negate);
        i.WidthA = i.WidthB = Width(type);
        i.Mode2 = combine;
        i.Mode = comparison;
        if (type == PtxType.F32 && !flush) i.Run = comparison < 6 ? &SetPredicateFloat : &SetPredicateLanes;
        else if (type.Size() == 4 && !type.IsFloat()) i.Run = &SetPredicateInteger;
        else i.Run = &SetPredicateLanes;
        i.Signed = type.IsSigned();
        i.Extra = Comparer(b, comparison, type, flush);
        if (comparison is >= 6 and <= 9)
        {
            if (type.IsFloat() || type.IsSigned()) throw b.Unsupported("lo, ls, hi, hs are for unsigned types");
            i.Mode = comparison - 4;
        }
        else if (comparison >= 10 && !type.IsFloat())
        {
            throw b.Unsupported("unordered comparisons are for float types");
        }
    }

    /// <summary>A predicate result computed lane by lane from a and b.</summary>
    private static void UsePredicate(InstructionBuilder b, Func<ulong, ulong, bool> body)
    {
        b.Result.Extra = body;
        b.Result.Mode2 = -1;
        b.Result.Run = &SetPredicateLanes;
    }

    private static Func<ulong, ulong, bool> Comparer(InstructionBuilder b, int comparison, PtxType type, bool flush)
    {
        if (type.IsFloat())
        {
            Func<ulong, double> read = type switch
            {
                PtxType.F64 => Floats.F64,
                PtxType.F32 => flush ? x => Floats.F32(Floats.FlushBits((uint)x)) : x => Floats.F32(x),
                PtxType.F16 => x => Floats.F16(x),
                PtxType.BF16 => x => Floats.BF16(x),
                _ => throw b.Unsupported("packed comparisons are not supported"),
            };
            return Comparisons[comparison] switch
            {
                "eq" => (x, y) => read(x) == read(y),
                "ne" => (x, y) => read(x) < read(y) || read(x) > read(y),
                "lt" => (x, y) => read(x) < read(y),
                "le" => (x, y) => read(x) <= read(y),
                "gt" => (x, y) => read(x) > read(y),
                "ge" => (x, y) => read(x) >= read(y),
                "equ" => (x, y) => !(read(x) < read(y) || read(x) > read(y)),
                "neu" => (x, y) => read(x) != read(y),
                "ltu" => (x, y) => !(read(x) >= read(y)),
                "leu" => (x, y) => !(read(x) > read(y)),
                "gtu" => (x, y) => !(read(x) <= read(y)),
                "geu" => (x, y) => !(read(x) < read(y)),
                "num" => (x, y) => !double.IsNaN(read(x)) && !double.IsNaN(read(y)),
                "nan" => (x, y) => double.IsNaN(read(x)) || double.IsNaN(read(y)),
                _ => throw b.Unsupported("the comparison is for unsigned integers"),
            };
        }
        if (type.ToString()[0] == 'B' && comparison > 1)
            throw b.Unsupported("untyped values compare with eq and ne only");
        bool signed = type.IsSigned();
        return Comparisons[comparison] switch
        {
            "eq" => (x, y) => x == y,
            "ne" => (x, y) => x != y,
            "lt" when signed => (x, y) => Extend(x, type) < Extend(y, type),
            "le" when signed => (x, y) => Extend(x, type) <= Extend(y, type),
            "gt" when signed => (x, y) => Extend(x, type) > Extend(y, type),
            "ge" when signed => (x, y) => Extend(x, type) >= Extend(y, type),
            "lt" or "lo" => (x, y) => x < y,
            "le" or "ls" => (x, y) => x <= y,
            "gt" or "hi" => (x, y) => x > y,
            _ => (x, y) => x >= y,
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void SetPredicateInteger(Warp w, Instruction i)
    {
        var a = (Vector256<uint>*)(w.Regs + i.A);
        var b = (Vector256<uint>*)(w.Regs + i.B);
        Vector256<uint> bias = Vector256.Create(i.Signed ? 0u : 0x80000000u);
        uint bits = 0;
        for (int k = 0; k < 4; k++)
        {
            Vector256<int> x = (a[k] ^ bias).AsInt32(), y = (b[k] ^ bias).AsInt32();
            Vector256<int> result = i.Mode switch
            {
                0 => Vector256.Equals(x, y),
                1 => ~Vector256.Equals(x, y),
                2 => Vector256.LessThan(x, y),
                3 => ~Vector256.GreaterThan(x, y),
                4 => Vector256.GreaterThan(x, y),
                _ => ~Vector256.LessThan(x, y),
            };
            bits |= result.ExtractMostSignificantBits() << (8 * k);
        }
        StorePredicates(w, i, bits);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void SetPredicateFloat(Warp w, Instruction i)
    {
        var a = (Vector256<float>*)(w.Regs + i.A);
        var b = (Vector256<float>*)(w.Regs + i.B);
        uint bits = 0;
        for (int k = 0; k < 4; k++)
        {
            Vector256<float> x = a[k], y = b[k];
            Vector256<float> result = i.Mode switch
            {
                0 => Vector256.Equals(x, y),
                1 => Vector256.LessThan(x, y) | Vector256.GreaterThan(x, y),
                2 => Vector256.LessThan(x, y),
                3 => Vector256.LessThanOrEqual(x, y),
                4 => Vector256.GreaterThan(x, y),
                _ => Vector256.GreaterThanOrEqual(x, y),
            };
            bits |= result.ExtractMostSignificantBits() << (8 * k);
        }
        StorePredicates(w, i, bits);
    }

    private static void SetPredicateLanes(Warp w, Instruction i)
    {
        var body = (Func<ulong, ulong, bool>)i.Extra!;
        uint bits = 0;
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            if (body(Lane(w.Regs + i.A, i.WidthA, lane), Lane(w.Regs + i.B, i.WidthB, lane))) bits |= 1u << lane;
        }
        StorePredicates(w, i, bits);
    }

    private static void StorePredicates(Warp w, Instruction i, uint bits)
    {
        uint other = ~bits;
        if (i.Mode2 >= 0)
        {
            uint c = *(uint*)(w.Regs + i.C);
            if (i.Negate) c = ~c;
            (bits, other) = i.Mode2 switch
            {
                0 => (bits & c, other & c),
                1 => (bits | c, other | c),
                _ => (bits ^ c, other ^ c),
            };
        }
        SetPredicate(w, i.D, bits);
        SetPredicate(w, i.D2, other);
    }

    private static void DecodeSet(InstructionBuilder b)
    {
        int comparison = TakeComparison(b);
        bool flush = b.Take("ftz");
        PtxType result = b.TakeType(), type = b.TakeType();
        if (result is not (PtxType.U32 or PtxType.S32 or PtxType.F32))
            throw b.Unsupported("expected .u32, .s32 or .f32");
        Operands(b, result, type, type);
        Func<ulong, ulong, bool> compare = Comparer(b, comparison, type, flush);
        ulong yes = result == PtxType.F32 ? 0x3F800000u : uint.MaxValue;
        UseLanes(b, (x, y, _) => compare(x, y) ? yes : 0);
    }

    private static void DecodeSelect(InstructionBuilder b)
    {
        PtxType type = b.TakeType();
        b.NeedOperands(4);
        Instruction i = b.Result;
        i.D = b.Destination(0, type);
        i.A = b.Source(1, type);
        i.B = b.Source(2, type);
        i.C = b.Predicate(b.Operand(3), out i.Negate);
        i.Run = type.Size() == 8 ? &SelectWide : &Select;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Select(Warp w, Instruction i)
    {
        uint predicate = *(uint*)(w.Regs + i.C);
        if (i.Negate) predicate = ~predicate;
        var a = (Vector256<uint>*)(w.Regs + i.A);
        var b = (Vector256<uint>*)(w.Regs + i.B);
        var d = (Vector256<uint>*)(w.Regs + i.D);
        for (int k = 0; k < 4; k++)
        {
            Vector256<uint> value = Vector256.ConditionalSelect(Warp.Mask32(predicate, k), a[k], b[k]);
            d[k] = Vector256.ConditionalSelect(Warp.Mask32(w.Exec, k), value, d[k]);
        }
    }

    private static void SelectWide(Warp w, Instruction i)
    {
        uint predicate = *(uint*)(w.Regs + i.C);
        if (i.Negate) predicate = ~predicate;
        var a = (Vector256<ulong>*)(w.Regs + i.A);
        var b = (Vector256<ulong>*)(w.Regs + i.B);
        var d = (Vector256<ulong>*)(w.Regs + i.D);
        for (int k = 0; k < 8; k++)
        {
            Vector256<ulong> value = Vector256.ConditionalSelect(Warp.Mask64(predicate, k), a[k], b[k]);
            d[k] = Vector256.ConditionalSelect(Warp.Mask64(w.Exec, k), value, d[k]);
        }
    }
}
