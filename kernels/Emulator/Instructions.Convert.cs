using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>cvt between all integer and float types.</summary>
internal static unsafe partial class Instructions
{
    private static void AddConvert(Dictionary<string, Action<InstructionBuilder>> table) =>
        table["cvt"] = DecodeConvert;

    private static void DecodeConvert(InstructionBuilder b)
    {
        int integerMode = b.TakeOneOf("rni", "rzi", "rmi", "rpi");
        int floatMode = b.TakeOneOf("rn", "rz", "rm", "rp", "rna");
        bool flush = b.Take("ftz"), saturate = b.Take("sat"), finite = b.Take("satfinite"), relu = b.Take("relu");
        PtxType to = b.TakeType(), from = b.TakeType();
        var mode = (Rounding)Math.Max(floatMode, 0);
        if (to is PtxType.BF16x2 or PtxType.F16x2)
        {
            if (from != PtxType.F32 || floatMode is not (0 or 1)) throw b.Unsupported("expected .rn or .rz from .f32");
            Operands(b, PtxType.B32, PtxType.F32, PtxType.F32);
            Func<float, uint> half = NarrowFloat(to == PtxType.BF16x2 ? PtxType.BF16 : PtxType.F16, mode, relu, finite);
            UseLanes(b, (high, low, _) => (half(Floats.F32(high)) << 16) | half(Floats.F32(low)));
            return;
        }
        b.NeedOperands(2);
        Instruction i = b.Result;
        i.D = b.Destination(0, to, allowWider: true);
        i.A = i.B = i.C = b.Source(1, from, allowWider: true);
        int width = b.Operand(0).Register?.Type.Size() ?? to.Size();
        i.WidthD = width == 8 ? 8 : 4;
        i.WidthA = i.WidthB = i.WidthC = (b.Operand(1).Register?.Type.Size() ?? from.Size()) == 8 ? 8 : 4;
        if (i.D < 0) throw b.Unsupported("the destination may not be '_'");
        bool toFloat = to.IsFloat(), fromFloat = from.IsFloat();
        if (to == PtxType.TF32)
        {
            if (from != PtxType.F32 || floatMode != 4) throw b.Unsupported("expected cvt.rna.tf32.f32");
            UseLanes(b, (x, _, _) => Floats.ToTF32(Floats.F32(x)));
        }
        else if (!toFloat && !fromFloat)
        {
            UseLanes(b, IntegerToInteger(to, from, saturate, width));
        }
        else if (!toFloat)
        {
            if (integerMode < 0) throw b.Unsupported("float to integer needs .rni, .rzi, .rmi or .rpi");
            UseLanes(b, FloatToInteger(to, from, (Rounding)integerMode, flush, width));
        }
        else if (!fromFloat)
        {
            if (floatMode < 0) throw b.Unsupported("integer to float needs a rounding");
            UseLanes(b, IntegerToFloat(to, from, mode));
        }
        else
        {
            bool narrows = to.Size() < from.Size() || (to != from && to.Size() == from.Size());
            if (narrows && floatMode < 0) throw b.Unsupported("a narrowing conversion needs a rounding");
            UseLanes(b, FloatToFloat(to, from, mode, integerMode, flush, saturate, relu, finite));
        }
    }

    private static LaneFunction IntegerToInteger(PtxType to, PtxType from, bool saturate, int width)
    {
        if (!saturate)
        {
            return to.IsSigned() && width > to.Size() || from.IsSigned() || to.Size() < 8
                ? (x, _, _) => Widen(Extend(x, from), to, width)
                : (x, _, _) => (ulong)Extend(x, from);
        }
        Int128 low = to.IsSigned() ? -((Int128)1 << ((to.Size() * 8) - 1)) : 0;
        Int128 high = ((Int128)1 << ((to.Size() * 8) - (to.IsSigned() ? 1 : 0))) - 1;
        return (x, _, _) =>
        {
            Int128 value = from == PtxType.U64 ? (Int128)x : Extend(x, from);
            return Widen((long)(ulong)Int128.Clamp(value, low, high), to, width);
        };
    }

    /// <summary>An integer of type <paramref name="to"/> in a register of <paramref name="width"/> bytes.</summary>
    private static ulong Widen(long value, PtxType to, int width)
    {
        long extended = Extend((ulong)value, to);
        return width switch
        {
            2 => (ushort)extended,
            4 => (uint)extended,
            _ => (ulong)extended,
        };
    }

    private static double ReadFloat(ulong bits, PtxType type) => type switch
    {
        PtxType.F64 => Floats.F64(bits),
        PtxType.F16 => Floats.F16(bits),
        PtxType.BF16 => Floats.BF16(bits),
        _ => Floats.F32(bits),
    };

    private static LaneFunction FloatToInteger(PtxType to, PtxType from, Rounding mode, bool flush, int width)
    {
        return (x, _, _) =>
        {
            if (flush) x = Floats.FlushBits((uint)x);
            double value = Floats.RoundToInteger(ReadFloat(x, from), mode);
            if (double.IsNaN(value)) return to.Size() == 8 ? 1ul << 63 : 0;
            if (to == PtxType.U64)
                return value >= 18446744073709551616.0 ? ulong.MaxValue : value <= 0 ? 0 : (ulong)value;
            if (to == PtxType.S64)
                return (ulong)(value >= 9223372036854775808.0 ? long.MaxValue : value <= long.MinValue ? long.MinValue
                : (long)value);
            int bits = to.Size() * 8;
            double high = to.IsSigned() ? Math.ScaleB(1, bits - 1) - 1 : Math.ScaleB(1, bits) - 1;
            double low = to.IsSigned() ? -Math.ScaleB(1, bits - 1) : 0;
            return Widen((long)Math.Clamp(value, low, high), to, width);
        };
    }

    private static LaneFunction IntegerToFloat(PtxType to, PtxType from, Rounding mode)
    {
        if (to == PtxType.F32 && mode == Rounding.NearestEven)
        {
            return from == PtxType.U64
                ? (x, _, _) => BitConverter.SingleToUInt32Bits((float)x)
                : (x, _, _) => BitConverter.SingleToUInt32Bits((float)Extend(x, from));
        }
        Func<ulong, double> read = from == PtxType.U64 ? x => x : x => Extend(x, from);
        return to switch
        {
            PtxType.F64 => (x, _, _) => Floats.Bits(read(x)),
            PtxType.F32 => (x, _, _) => Floats.ToF32(read(x), mode),
            PtxType.F16 => (x, _, _) => Floats.ToF16(read(x), mode),
            _ => (x, _, _) => Floats.ToBF16(read(x), mode),
        };
    }

    private static Func<float, uint> NarrowFloat(PtxType to, Rounding mode, bool relu, bool finite)
    {
        Func<float, uint> body = (to, mode) switch
        {
            (PtxType.BF16, Rounding.NearestEven) => Floats.ToBF16,
            (PtxType.BF16, _) => v => Floats.ToBF16((double)v, mode),
            _ => v => Floats.ToF16(v, mode),
        };
        if (!relu && !finite) return body;
        uint largest = to == PtxType.BF16 ? 0x7F7Fu : 0x7BFFu, infinity = largest + 1;
        return v =>
        {
            uint bits = body(relu && v < 0 ? 0 : v);
            return finite && (bits & 0x7FFF) == infinity ? (bits & 0x8000) | largest : bits;
        };
    }

    private static LaneFunction FloatToFloat(PtxType to, PtxType from, Rounding mode, int integerMode, bool flush,
        bool saturate,
        bool relu, bool finite)
    {
        if (to == PtxType.F32 && from == PtxType.BF16 && integerMode < 0 && !saturate)
            return (x, _, _) => (uint)x << 16;
        if (from == PtxType.F32 && to is PtxType.F16 or PtxType.BF16 && integerMode < 0 && !saturate && !flush)
        {
            Func<float, uint> narrow = NarrowFloat(to, mode, relu, finite);
            return (x, _, _) => narrow(Floats.F32(x));
        }
        return (x, _, _) =>
        {
            if (flush && from == PtxType.F32) x = Floats.FlushBits((uint)x);
            double value = ReadFloat(x, from);
            if (integerMode >= 0) value = Floats.RoundToInteger(value, (Rounding)integerMode);
            if (saturate) value = double.IsNaN(value) || value <= 0 ? 0 : Math.Min(value, 1);
            if (relu && value < 0) value = 0;
            ulong bits = to switch
            {
                PtxType.F64 => Floats.Bits(value),
                PtxType.F32 => Floats.ToF32(value, mode),
                PtxType.F16 => Floats.ToF16(value, mode),
                _ => Floats.ToBF16(value, mode),
            };
            return flush && to == PtxType.F32 ? Floats.FlushBits((uint)bits) : bits;
        };
    }
}
