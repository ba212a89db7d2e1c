using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// Approximate and square-root functions. Results are correctly rounded from double, which lies within the error that
/// the ISA states for each .approx form; hardware may differ in the last bits.
/// </summary>
internal static unsafe partial class Instructions
{
    private static void AddApproximate(Dictionary<string, Action<InstructionBuilder>> table)
    {
        table["ex2"] = b => DecodeFunction(b, Math2.Exp2);
        table["lg2"] = b => DecodeFunction(b, Math.Log2);
        table["sin"] = b => DecodeFunction(b, Math.Sin);
        table["cos"] = b => DecodeFunction(b, Math.Cos);
        table["tanh"] = b => DecodeFunction(b, Math.Tanh);
        table["rsqrt"] = b =>
            DecodeFunction(b, x => x == 0 ? double.CopySign(double.PositiveInfinity, x) : 1 / Math.Sqrt(x));
        table["rcp"] = b => DecodeFunction(b, x => 1 / x);
        table["sqrt"] = b => DecodeFunction(b, Math.Sqrt);
    }

    private static void DecodeFunction(InstructionBuilder b, Func<double, double> function)
    {
        bool approximate = b.Take("approx"), nearest = b.Take("rn"), flush = b.Take("ftz");
        if (!approximate && !(nearest && b.Opcode is "rcp" or "sqrt"))
            throw b.Unsupported("expected .approx, or .rn for rcp and sqrt");
        PtxType type = b.TakeType();
        bool sixteen = type is PtxType.F16 or PtxType.F16x2 or PtxType.BF16 or PtxType.BF16x2;
        if (sixteen && b.Opcode is not ("ex2" or "tanh")) throw b.Unsupported("expected .f32");
        if (type == PtxType.F64 && (approximate || b.Opcode is not ("rcp" or "sqrt")))
            throw b.Unsupported("expected .f32");
        if (!type.IsFloat()) throw b.Unsupported("expected a float type");
        Operands(b, type, type);
        b.Result.FlopsPerLane = type is PtxType.F16x2 or PtxType.BF16x2 ? 2 : 1;
        switch (type)
        {
            case PtxType.F64:
                UseLanes(b, (x, _, _) => Floats.Bits(function(Floats.F64(x))));
                break;
            case PtxType.F32 when flush:
                UseLanes(b, (x, _, _) =>
                    Floats.FlushBits(Floats.Bits((float)function(Floats.F32(Floats.FlushBits((uint)x))))));
                break;
            case PtxType.F32:
                UseLanes(b, (x, _, _) => Floats.Bits((float)function(Floats.F32(x))));
                break;
            case PtxType.F16:
                UseLanes(b, (x, _, _) => Floats.ToF16(function(Floats.F16(x))));
                break;
            case PtxType.F16x2:
                UseLanes(b, (x, _, _) => Floats.ToF16(function(Floats.F16(x)))
                    | (Floats.ToF16(function(Floats.F16(x >> 16))) << 16));
                break;
            case PtxType.BF16:
                UseLanes(b, (x, _, _) => Floats.ToBF16(function(Floats.BF16(x))));
                break;
            default:
                UseLanes(b, (x, _, _) => Floats.ToBF16(function(Floats.BF16(x & 0xFFFF)))
                    | (Floats.ToBF16(function(Floats.BF16(x >> 16))) << 16));
                break;
        }
    }

    private static void DecodeApproximateDivide(InstructionBuilder b, PtxType type)
    {
        bool flush = b.Take("ftz");
        if (type != PtxType.F32) throw b.Unsupported("expected .f32");
        Operands(b, type, type, type);
        b.Result.FlopsPerLane = 1;
        UseLanes(b, flush
            ? (x, y, _) =>
                Floats.FlushBits(
                Floats.Bits(Floats.F32(Floats.FlushBits((uint)x)) / Floats.F32(Floats.FlushBits((uint)y))))
            : (x, y, _) => Floats.Bits(Floats.F32(x) / Floats.F32(y)));
    }

    private static class Math2
    {
        public static double Exp2(double x) => Math.Pow(2, x);
    }
}
