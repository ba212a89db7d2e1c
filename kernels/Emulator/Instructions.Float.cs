using System.Runtime.Intrinsics;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>Floating-point arithmetic with IEEE results in all formats and roundings.</summary>
internal static unsafe partial class Instructions
{
    private static void AddFloat(Dictionary<string, Action<InstructionBuilder>> table)
    {
        table["fma"] = b =>
        {
            bool saturate = b.Take("sat");
            if (!IsFloatForm(b, out PtxType type)) throw b.Unsupported("expected a float type");
            DecodeFloat(b, type, saturate);
        };
        table["copysign"] = b =>
        {
            PtxType type = b.TakeType();
            Operands(b, type, type, type);
            ulong sign = type == PtxType.F64 ? 1ul << 63 : 1ul << 31;
            UseLanes(b, (x, y, _) => (y & ~sign) | (x & sign));
        };
        table["testp"] = b =>
        {
            int what = b.TakeOneOf("finite", "infinite", "number", "notanumber", "normal", "subnormal");
            PtxType type = b.TakeType();
            Instruction i = b.Result;
            b.NeedOperands(2);
            i.D = b.Destination(0, PtxType.Pred);
            i.A = i.B = b.Source(1, type);
            i.WidthA = i.WidthB = type.Size();
            UsePredicate(b, (x, _) =>
            {
                double v = type == PtxType.F64 ? Floats.F64(x) : Floats.F32(x);
                bool subnormal = type == PtxType.F64 ? double.IsSubnormal(v) : float.IsSubnormal((float)v);
                return what switch
                {
                    0 => double.IsFinite(v),
                    1 => double.IsInfinity(v),
                    2 => !double.IsNaN(v),
                    3 => double.IsNaN(v),
                    4 => double.IsFinite(v) && v != 0 && !subnormal,
                    _ => subnormal,
                };
            });
        };
    }

    private static bool IsFloatForm(InstructionBuilder b, out PtxType type)
    {
        type = b.PeekType();
        if (!type.IsFloat() || type == PtxType.TF32) return false;
        b.TakeType();
        return true;
    }

    private static Rounding TakeRounding(InstructionBuilder b) => b.TakeOneOf("rn", "rz", "rm", "rp") switch
    {
        1 => Rounding.Zero,
        2 => Rounding.Down,
        3 => Rounding.Up,
        _ => Rounding.NearestEven,
    };

    private static void DecodeFloat(InstructionBuilder b, PtxType type, bool saturate)
    {
        string op = b.Opcode;
        if (op == "div" && (b.Take("approx") | b.Take("full")))
        {
            DecodeApproximateDivide(b, type);
            return;
        }
        Rounding mode = TakeRounding(b);
        bool flush = b.Take("ftz"), nan = b.Take("NaN"), relu = b.Take("relu");
        saturate |= b.Take("sat");
        if (mode != Rounding.NearestEven && (type is not PtxType.F32 || op == "div"))
            throw b.Unsupported("only .rn is supported here");
        int operands = op is "abs" or "neg" ? 1 : op is "fma" or "mad" ? 3 : 2;
        if (operands == 1) Operands(b, type, type);
        else if (operands == 2) Operands(b, type, type, type);
        else Operands(b, type, type, type, type);
        int perLane = type is PtxType.F16x2 or PtxType.BF16x2 ? 2 : 1;
        b.Result.FlopsPerLane = operands == 3 ? 2 * perLane : op is "abs" or "neg" ? 0 : perLane;
        if (type == PtxType.F32 && mode == Rounding.NearestEven && !flush && !nan && !saturate && UseFloatRows(b, op))
            return;
        LaneFunction body = type switch
        {
            PtxType.F64 => F64Body(b, op, nan),
            PtxType.F32 => F32Body(b, op, mode, flush, nan),
            PtxType.F16 or PtxType.F16x2 => HalfBody(b, op, nan, relu, Floats.F16, d => Floats.ToF16(d)),
            _ => HalfBody(b, op, nan, relu, Floats.BF16, d => Floats.ToBF16(d)),
        };
        if (saturate) body = Saturate(body, type);
        if (perLane == 2)
        {
            LaneFunction half = body;
            body = (x, y, z) => (half(x & 0xFFFF, y & 0xFFFF, z & 0xFFFF) & 0xFFFF)
                | (half(x >> 16 & 0xFFFF, y >> 16 & 0xFFFF, z >> 16 & 0xFFFF) << 16);
        }
        UseLanes(b, body);
    }

    private static LaneFunction Saturate(LaneFunction body, PtxType type)
    {
        return type switch
        {
            PtxType.F32 => (x, y, z) => Floats.Bits(Clamp(Floats.F32(body(x, y, z)))),
            PtxType.F16 or PtxType.F16x2 => (x, y, z) => Floats.ToF16(Clamp(Floats.F16(body(x, y, z)))),
            _ => (x, y, z) => Floats.ToBF16(Clamp(Floats.BF16(body(x, y, z)))),
        };

        static float Clamp(float v) => float.IsNaN(v) || v <= 0 ? 0 : Math.Min(v, 1);
    }

    private static bool UseFloatRows(InstructionBuilder b, string op)
    {
        switch (op)
        {
            case "add": UseRows<AddF>(b); return true;
            case "sub": UseRows<SubF>(b); return true;
            case "mul": UseRows<MulF>(b); return true;
            case "fma" or "mad": UseRows<FmaF>(b); return true;
            case "min": UseRows<MinF>(b); return true;
            case "max": UseRows<MaxF>(b); return true;
            case "abs": UseRows<AbsF>(b); return true;
            case "neg": UseRows<NegF>(b); return true;
            default: return false;
        }
    }

    private static LaneFunction F64Body(InstructionBuilder b, string op, bool nan) => op switch
    {
        "add" => (x, y, _) => Floats.Bits(Floats.F64(x) + Floats.F64(y)),
        "sub" => (x, y, _) => Floats.Bits(Floats.F64(x) - Floats.F64(y)),
        "mul" => (x, y, _) => Floats.Bits(Floats.F64(x) * Floats.F64(y)),
        "div" => (x, y, _) => Floats.Bits(Floats.F64(x) / Floats.F64(y)),
        "fma" or "mad" => (x, y, z) => Floats.Bits(Math.FusedMultiplyAdd(Floats.F64(x), Floats.F64(y), Floats.F64(z))),
        "min" when !nan => (x, y, _) => Floats.Bits(double.MinNumber(Floats.F64(x), Floats.F64(y))),
        "max" when !nan => (x, y, _) => Floats.Bits(double.MaxNumber(Floats.F64(x), Floats.F64(y))),
        "abs" => (x, _, _) => x & ~(1ul << 63),
        "neg" => (x, _, _) => x ^ (1ul << 63),
        _ => throw b.Unsupported("unsupported .f64 form"),
    };

    private static LaneFunction F32Body(InstructionBuilder b, string op, Rounding mode, bool flush, bool nan)
    {
        LaneFunction body = op switch
        {
            "add" => (x, y, _) => Floats.ToF32(Floats.AddOdd(Floats.F32(x), Floats.F32(y)), mode),
            "sub" => (x, y, _) => Floats.ToF32(Floats.AddOdd(Floats.F32(x), -(double)Floats.F32(y)), mode),
            "mul" => (x, y, _) => Floats.ToF32((double)Floats.F32(x) * Floats.F32(y), mode),
            "fma" or "mad" => (x, y, z) =>
                Floats.ToF32(Floats.FmaOdd(Floats.F32(x), Floats.F32(y), Floats.F32(z)), mode),
            "div" => (x, y, _) => Floats.Bits(Floats.F32(x) / Floats.F32(y)),
            "min" when nan => (x, y, _) => Floats.Bits(float.Min(Floats.F32(x), Floats.F32(y))),
            "max" when nan => (x, y, _) => Floats.Bits(float.Max(Floats.F32(x), Floats.F32(y))),
            "min" => (x, y, _) => Floats.Bits(float.MinNumber(Floats.F32(x), Floats.F32(y))),
            "max" => (x, y, _) => Floats.Bits(float.MaxNumber(Floats.F32(x), Floats.F32(y))),
            "abs" => (x, _, _) => x & 0x7FFFFFFF,
            "neg" => (x, _, _) => (x ^ 0x80000000) & 0xFFFFFFFF,
            _ => throw b.Unsupported("unsupported .f32 form"),
        };
        if (!flush) return body;
        return (x, y, z) => Floats.FlushBits((uint)body(
            Floats.FlushBits((uint)x), Floats.FlushBits((uint)y), Floats.FlushBits((uint)z)));
    }

    private static LaneFunction HalfBody(InstructionBuilder b, string op, bool nan, bool relu, Func<ulong, float> from,
        Func<double, uint> to)
    {
        LaneFunction body = op switch
        {
            "add" => (x, y, _) => to((double)from(x) + from(y)),
            "sub" => (x, y, _) => to((double)from(x) - from(y)),
            "mul" => (x, y, _) => to((double)from(x) * from(y)),
            "fma" => (x, y, z) => to(Floats.FmaOdd(from(x), from(y), from(z))),
            "min" when nan => (x, y, _) => to(float.Min(from(x), from(y))),
            "max" when nan => (x, y, _) => to(float.Max(from(x), from(y))),
            "min" => (x, y, _) => to(float.MinNumber(from(x), from(y))),
            "max" => (x, y, _) => to(float.MaxNumber(from(x), from(y))),
            "abs" => (x, _, _) => x & 0x7FFF,
            "neg" => (x, _, _) => x ^ 0x8000,
            _ => throw b.Unsupported("unsupported 16-bit float form"),
        };
        if (!relu) return body;
        if (op != "fma") throw b.Unsupported(".relu is supported for fma only");
        return (x, y, z) =>
        {
            ulong r = body(x, y, z);
            return (r & 0x8000) != 0 && !float.IsNaN(from(r)) ? 0 : r;
        };
    }

    private static Vector256<uint> Canonical(Vector256<float> value) =>
        Vector256.ConditionalSelect(Vector256.Equals(value, value).AsUInt32(), value.AsUInt32(),
            Vector256.Create(Floats.CanonicalNaN));

    private readonly struct AddF : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) =>
            Canonical(a.AsSingle() + b.AsSingle());
    }

    private readonly struct SubF : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) =>
            Canonical(a.AsSingle() - b.AsSingle());
    }

    private readonly struct MulF : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) =>
            Canonical(a.AsSingle() * b.AsSingle());
    }

    private readonly struct FmaF : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) =>
            Canonical(Vector256.FusedMultiplyAdd(a.AsSingle(), b.AsSingle(), c.AsSingle()));
    }

    private readonly struct MinF : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) =>
            Canonical(Vector256.MinNumber(a.AsSingle(), b.AsSingle()));
    }

    private readonly struct MaxF : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) =>
            Canonical(Vector256.MaxNumber(a.AsSingle(), b.AsSingle()));
    }

    private readonly struct AbsF : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) =>
            a & Vector256.Create(0x7FFFFFFFu);
    }

    private readonly struct NegF : IVectorOp
    {
        public static Vector256<uint> Do(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c) =>
            a ^ Vector256.Create(0x80000000u);
    }
}
