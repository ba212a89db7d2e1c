namespace CudaLora.Tests;

/// <summary>Integer, bit, float and conversion instructions against hand-computed results.</summary>
public class ArithmeticTests
{
    private const ulong One = 0x3F800000, Two = 0x40000000, NaN = 0x7FFFFFFF, Inf = 0x7F800000, Tiny = 1;

    private static readonly InstructionCase[] Cases =
    [
        new("add.s32 d, a, b;", "u32 u32 u32", [1, 2, 3], [0xFFFFFFFF, 1, 0], [0x7FFFFFFF, 1, 0x80000000]),
        new("sub.u32 d, a, b;", "u32 u32 u32", [1, 2, 0xFFFFFFFF], [5, 3, 2]),
        new("add.sat.s32 d, a, b;", "s32 s32 s32", [0x7FFFFFFF, 1, 0x7FFFFFFF], [0x80000000, 0xFFFFFFFF, 0x80000000]),
        new("add.u64 d, a, b;", "u64 u64 u64", [0xFFFFFFFF, 1, 0x100000000]),
        new("add.s16 d, a, b;", "b16 b16 b16", [0xFFFF, 2, 1]),
        new("mul.lo.s32 d, a, b;", "u32 u32 u32", [0xFFFFFFFF, 3, 0xFFFFFFFD], [0x10000, 0x10000, 0]),
        new("mul.hi.u32 d, a, b;", "u32 u32 u32", [0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFE]),
        new("mul.hi.s32 d, a, b;", "s32 s32 s32", [0xFFFFFFFF, 2, 0xFFFFFFFF], [0x40000000, 8, 2]),
        new("mul.wide.u32 d, a, b;", "u64 u32 u32", [0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFE00000001]),
        new("mul.wide.s32 d, a, b;", "s64 s32 s32", [0xFFFFFFFF, 5, 0xFFFFFFFFFFFFFFFB]),
        new("mul.wide.u16 d, a, b;", "u32 b16 b16", [0xFFFF, 0xFFFF, 0xFFFE0001]),
        new("mul.hi.u64 d, a, b;", "u64 u64 u64", [0xFFFFFFFFFFFFFFFF, 2, 1]),
        new("mul.hi.s64 d, a, b;", "s64 s64 s64", [0xFFFFFFFFFFFFFFFF, 2, 0xFFFFFFFFFFFFFFFF]),
        new("mad.lo.u32 d, a, b, c;", "u32 u32 u32 u32", [3, 4, 5, 17]),
        new("mad.wide.u32 d, a, b, c;", "u64 u32 u32 u64", [0x80000000, 4, 7, 0x200000007]),
        new("mad.lo.u64 d, a, b, c;", "u64 u64 u64 u64", [3, 4, 5, 17]),
        new("mad.hi.u32 d, a, b, c;", "u32 u32 u32 u32", [0x80000000, 4, 5, 7]),
        new("div.s32 d, a, b;", "s32 s32 s32", [0xFFFFFFF9, 2, 0xFFFFFFFD], [7, 0xFFFFFFFE, 0xFFFFFFFD]),
        new("div.u32 d, a, b;", "u32 u32 u32", [0xFFFFFFF9, 2, 0x7FFFFFFC]),
        new("rem.s32 d, a, b;", "s32 s32 s32", [0xFFFFFFF9, 2, 0xFFFFFFFF], [7, 0xFFFFFFFE, 1]),
        new("rem.u64 d, a, b;", "u64 u64 u64", [0x100000001, 10, 7]),
        new("min.s32 d, a, b;", "s32 s32 s32", [0xFFFFFFFF, 1, 0xFFFFFFFF]),
        new("min.u32 d, a, b;", "u32 u32 u32", [0xFFFFFFFF, 1, 1]),
        new("max.s64 d, a, b;", "s64 s64 s64", [0xFFFFFFFFFFFFFFFF, 1, 1]),
        new("abs.s32 d, a;", "s32 s32", [0xFFFFFFFB, 5], [5, 5]),
        new("neg.s16 d, a;", "s16 s16", [5, 0xFFFB]),
        new("sad.u32 d, a, b, c;", "u32 u32 u32 u32", [3, 10, 1, 8]),
        new("dp4a.s32.s32 d, a, b, c;", "s32 s32 s32 s32", [0xFF020304, 0x02030405, 10, 10 - 2 + 6 + 12 + 20]),
        new("and.b32 d, a, b;", "b32 b32 b32", [0xF0F0, 0xFF00, 0xF000]),
        new("xor.b64 d, a, b;", "b64 b64 b64", [0xF0F0, 0xFF00, 0x0FF0]),
        new("not.b16 d, a;", "b16 b16", [0x00FF, 0xFF00]),
        new("cnot.b32 d, a;", "b32 b32", [0, 1], [7, 0]),
        new("shl.b32 d, a, b;", "b32 b32 u32", [1, 31, 0x80000000], [1, 32, 0], [1, 200, 0]),
        new("shr.u32 d, a, b;", "b32 b32 u32", [0x80000000, 31, 1], [0x80000000, 40, 0]),
        new("shr.s32 d, a, b;", "s32 s32 u32", [0x80000000, 31, 0xFFFFFFFF], [0x80000000, 99, 0xFFFFFFFF]),
        new("shl.b64 d, a, b;", "b64 b64 u32", [1, 63, 1ul << 63], [1, 64, 0]),
        new("shr.s64 d, a, b;", "s64 s64 u32", [1ul << 63, 99, ulong.MaxValue]),
        new("shf.l.wrap.b32 d, a, b, c;", "b32 b32 b32 u32", [0x80000000, 1, 33, 3]),
        new("shf.r.clamp.b32 d, a, b, c;", "b32 b32 b32 u32", [0x12345678, 0xABCD, 16, 0xABCD1234],
            [1, 0xABCD, 40, 0xABCD]),
        new("lop3.b32 d, a, b, c, 0x96;", "b32 b32 b32 b32", [0xFF, 0x0F, 0x33, 0xFF ^ 0x0F ^ 0x33]),
        new("lop3.b32 d, a, b, c, 0xCA;", "b32 b32 b32 b32", [0xF0, 0xAA, 0x55, 0xA5]),
        new("prmt.b32 d, a, b, c;", "b32 b32 b32 b32", [0x33221100, 0x77665544, 0x7531, 0x77553311],
            [0x80, 0, 0x0008, 0x808080FF]),
        new("popc.b64 d, a;", "u32 b64", [0xFF00FF, 16]),
        new("clz.b32 d, a;", "u32 b32", [1, 31], [0, 32]),
        new("brev.b32 d, a;", "b32 b32", [1, 0x80000000], [0xF0, 0x0F000000]),
        new("bfind.u32 d, a;", "u32 u32", [0x100, 8], [0, 0xFFFFFFFF]),
        new("bfe.u32 d, a, b, c;", "u32 u32 u32 u32", [0xABCD, 4, 8, 0xBC], [0xABCD, 4, 0, 0]),
        new("bfe.s32 d, a, b, c;", "s32 s32 u32 u32", [0xABCD, 4, 8, 0xFFFFFFBC]),
        new("bfi.b32 d, a, b, 4, 8;", "b32 b32 b32", [0xEE, 0xABCD, 0xAEED]),
        new("selp.b32 d, a, b, p;", "b32 b32 b32", [1, 2, 1]),
        new("@p mov.b32 d, a; @!p mov.b32 d, 5;", "b32 b32", [7, 7]),
        new("mov.b32 d, {a, b};", "b32 b16 b16", [0x1234, 0xABCD, 0xABCD1234]),
        new("mov.b64 d, {a, b};", "b64 b32 b32", [0x1234, 0xABCD, 0x0000ABCD00001234]),
        new("mov.b32 {d, t16}, a;", "b16 b32", [0xABCD1234, 0x1234]),
        new("set.lt.u32.s32 d, a, b;", "u32 s32 s32", [0xFFFFFFFF, 1, 0xFFFFFFFF], [1, 1, 0]),
        new("slct.b32.s32 d, a, b, c;", "b32 b32 b32 s32", [1, 2, 0, 1], [1, 2, 0xFFFFFFFF, 2]),

        new("add.f32 d, a, b;", "f32 f32 f32", [One, One, Two], [Inf, 0xFF800000, NaN], [Tiny, Tiny, 2]),
        new("add.ftz.f32 d, a, b;", "f32 f32 f32", [Tiny, Tiny, 0]),
        new("add.rz.f32 d, a, b;", "f32 f32 f32", [One, 0x33FFFFFF, One]),
        new("add.rp.f32 d, a, b;", "f32 f32 f32", [One, Tiny, One + 1]),
        new("add.rm.f32 d, a, b;", "f32 f32 f32", [One, 0x80000001, One - 1]),
        new("mul.f32 d, a, b;", "f32 f32 f32", [0x40400000, Two, 0x40C00000], [0, Inf, NaN]),
        new("mul.rz.f32 d, a, b;", "f32 f32 f32", [0x3F800001, 0x3F800001, 0x3F800002]),
        new("mul.rp.f32 d, a, b;", "f32 f32 f32", [0x3F800001, 0x3F800001, 0x3F800003]),
        // (1 + 2^-23)^2 - (1 + 2^-22) = 2^-46 only with a single rounding.
        new("fma.rn.f32 d, a, b, c;", "f32 f32 f32 f32", [0x3F800001, 0x3F800001, 0xBF800002, 0x28800000]),
        new("fma.rz.f32 d, a, b, c;", "f32 f32 f32 f32", [One, One, 0xB0000000, 0x3F7FFFFF]),
        new("fma.rn.sat.f32 d, a, b, c;", "f32 f32 f32 f32", [Two, Two, 0, One], [Two, 0xC0000000, 0, 0]),
        new("min.f32 d, a, b;", "f32 f32 f32", [One, 0x7FC00000, One], [0x80000000, 0, 0x80000000]),
        new("max.NaN.f32 d, a, b;", "f32 f32 f32", [One, 0x7FC00000, NaN]),
        new("abs.f32 d, a;", "f32 f32", [0xBF800000, One]),
        new("neg.f32 d, a;", "f32 f32", [0xBF800000, One]),
        new("div.rn.f32 d, a, b;", "f32 f32 f32", [One, 0x40400000, 0x3EAAAAAB]),
        new("sqrt.rn.f32 d, a;", "f32 f32", [0x40800000, Two], [Two, 0x3FB504F3]),
        new("rcp.rn.f32 d, a;", "f32 f32", [0x40400000, 0x3EAAAAAB]),
        new("fma.rn.f64 d, a, b, c;", "f64 f64 f64 f64",
            [0x3FF0000000000001, 0x3FF0000000000001, 0xBFF0000000000002, 0x3970000000000000]),
        new("copysign.f32 d, a, b;", "f32 f32 f32", [0x80000000, One, 0xBF800000]),
        // f16: 1 + 2^-11 is a tie and goes to even; fma keeps the exact product.
        new("add.f16 d, a, b;", "b16 b16 b16", [0x3C00, 0x1000, 0x3C00], [0x3C01, 0x1000, 0x3C02]),
        new("add.f16x2 d, a, b;", "b32 b32 b32", [0x3C004000, 0x3C003C00, 0x40004200]),
        new("fma.rn.f16 d, a, b, c;", "b16 b16 b16 b16", [0x3C01, 0x3C01, 0xBC02, 0x0010]),
        new("fma.rn.bf16x2 d, a, b, c;", "b32 b32 b32 b32", [0x3F804000, 0x40004000, 0x3F803F80, 0x404040A0]),
        new("max.bf16x2 d, a, b;", "b32 b32 b32", [0x3F80C000, 0x40003F80, 0x40003F80]),
        new("neg.bf16x2 d, a;", "b32 b32", [0x3F804000, 0xBF80C000]),
        new("fma.rn.relu.f16 d, a, b, c;", "b16 b16 b16 b16", [0x3C00, 0xBC00, 0, 0]),
    ];

    private static readonly InstructionCase[] Conversions =
    [
        new("cvt.u64.u32 d, a;", "u64 u32", [0xFFFFFFFF, 0xFFFFFFFF]),
        new("cvt.s64.s32 d, a;", "s64 s32", [0xFFFFFFFF, ulong.MaxValue]),
        new("cvt.u32.u64 d, a;", "u32 u64", [0x1_0000_0007, 7]),
        new("cvt.s32.s8 d, a;", "s32 b32", [0x1FF, 0xFFFFFFFF]),
        new("cvt.u8.u32 d, a;", "b32 u32", [0x1FF, 0xFF]),
        new("cvt.sat.s8.s32 d, a;", "s32 s32", [0xFFFFFF00, 0xFFFFFF80], [200, 127]),
        new("cvt.u16.u32 d, a;", "u16 u32", [0x12345, 0x2345]),
        new("cvt.rn.f32.s32 d, a;", "f32 s32", [0xFFFFFFFF, 0xBF800000], [16777217, 0x4B800000]),
        new("cvt.rz.f32.u32 d, a;", "f32 u32", [0xFFFFFFFF, 0x4F7FFFFF]),
        new("cvt.rn.f32.u64 d, a;", "f32 u64", [ulong.MaxValue, 0x5F800000]),
        new("cvt.rn.f64.s64 d, a;", "f64 s64", [ulong.MaxValue, 0xBFF0000000000000]),
        new("cvt.rzi.s32.f32 d, a;", "s32 f32", [0xBFC00000, 0xFFFFFFFF], [0x7FC00000, 0], [0x4F800000, 0x7FFFFFFF]),
        new("cvt.rni.s32.f32 d, a;", "s32 f32", [0x40200000, 2], [0x40600000, 4]),
        new("cvt.rmi.s32.f32 d, a;", "s32 f32", [0xBFC00000, 0xFFFFFFFE]),
        new("cvt.rpi.u32.f32 d, a;", "u32 f32", [0x3FC00000, 2], [0xBF800000, 0]),
        new("cvt.rni.f32.f32 d, a;", "f32 f32", [0x40200000, Two]),
        new("cvt.sat.f32.f32 d, a;", "f32 f32", [Two, One], [0x7FC00000, 0]),
        new("cvt.rn.f16.f32 d, a;", "b16 f32", [0x3F801000, 0x3C00], [0x3F803000, 0x3C02], [0x477FF000, 0x7C00],
            [0x33000000, 0]),
        new("cvt.rz.f16.f32 d, a;", "b16 f32", [0x3F803000, 0x3C01], [0x477FF000, 0x7BFF]),
        new("cvt.f32.f16 d, a;", "f32 b16", [0x3C00, One], [0x0001, 0x33800000], [0x7C00, Inf]),
        new("cvt.rn.bf16.f32 d, a;", "b16 f32", [0x3F808000, 0x3F80], [0x3F818000, 0x3F82], [0x7F7FFFFF, 0x7F80],
            [0x7F800001, 0x7FFF]),
        new("cvt.rz.bf16.f32 d, a;", "b16 f32", [0x3F81FFFF, 0x3F81], [0xBF81FFFF, 0xBF81]),
        new("cvt.rn.bf16x2.f32 d, a, b;", "b32 f32 f32", [One, Two, 0x3F804000]),
        new("cvt.rn.relu.bf16x2.f32 d, a, b;", "b32 f32 f32", [0xBF800000, Two, 0x00004000]),
        new("cvt.rn.f16x2.f32 d, a, b;", "b32 f32 f32", [One, Two, 0x3C004000]),
        new("cvt.rna.tf32.f32 d, a;", "b32 f32", [0x3F801000, 0x3F802000], [0x3F800FFF, 0x3F800000],
            [0xBF801000, 0xBF802000]),
        new("cvt.rn.f32.f64 d, a;", "f32 f64", [0x3FF0000010000000, One], [0x3FF0000030000000, One + 2]),
        new("cvt.f64.f32 d, a;", "f64 f32", [One, 0x3FF0000000000000]),
    ];

    public static TheoryData<int> CaseNumbers => [.. Enumerable.Range(0, Cases.Length)];

    public static TheoryData<int> ConversionNumbers => [.. Enumerable.Range(0, Conversions.Length)];

    [Theory]
    [MemberData(nameof(CaseNumbers))]
    public void GivesTheLiteralResult(int number)
    {
        InstructionCase test = Cases[number];
        if (test.Instruction.Contains("t16", StringComparison.Ordinal))
            test = test with { Instruction = ".reg .b16 t16; " + test.Instruction };
        test.Verify(test.Instruction.Contains("cvt.f32.bf16", StringComparison.Ordinal) ? "sm_90" : "sm_80");
    }

    [Theory]
    [MemberData(nameof(ConversionNumbers))]
    public void ConvertsToTheLiteralResult(int number) => Conversions[number].Verify();

    [Fact]
    public void Bf16ToF32NeedsSm90() =>
        new InstructionCase("cvt.f32.bf16 d, a;", "f32 b16", [0x3F80, One]).Verify("sm_90");

    // ISA: ex2 and lg2 within 2 ulp or 2^-22, rsqrt and rcp within 1 ulp or 2^-22.9, sin and cos absolute 2^-20.5,
    // tanh 2^-11.
    [Theory]
    [InlineData("ex2.approx.ftz.f32 d, a;", 1.5f, 2.828427f, 3e-7)]
    [InlineData("ex2.approx.f32 d, a;", -10f, 0.0009765625f, 3e-7)]
    [InlineData("lg2.approx.f32 d, a;", 10f, 3.321928f, 3e-7)]
    [InlineData("rsqrt.approx.f32 d, a;", 2f, 0.70710677f, 2e-7)]
    [InlineData("rcp.approx.ftz.f32 d, a;", 3f, 0.33333334f, 2e-7)]
    [InlineData("sqrt.approx.f32 d, a;", 2f, 1.4142135f, 2e-7)]
    [InlineData("sin.approx.f32 d, a;", 1f, 0.84147098f, 7e-7)]
    [InlineData("cos.approx.f32 d, a;", 1f, 0.54030231f, 7e-7)]
    [InlineData("tanh.approx.f32 d, a;", 0.5f, 0.46211716f, 5e-4)]
    [InlineData("div.approx.f32 d, a, 0f40400000;", 2f, 0.6666667f, 3e-7)]
    [InlineData("div.full.f32 d, a, 0f40400000;", 2f, 0.6666667f, 3e-7)]
    public void ApproximatesWithinTheStatedError(string instruction, float x, float want, double relative)
    {
        var test = new InstructionCase(instruction, "f32 f32", [BitConverter.SingleToUInt32Bits(x), 0]);
        float found = BitConverter.UInt32BitsToSingle((uint)test.Program().Run().Succeeded().Read<ulong>(0)[0]);
        HardwareComparison.Check(test.Program(), mayDiffer: true);
        Assert.InRange(found, want * (1 - relative), want * (1 + relative));
    }

    [Theory]
    [InlineData("eq", 1f, 1f, true)]
    [InlineData("lt", 1f, 2f, true)]
    [InlineData("ge", 1f, float.NaN, false)]
    [InlineData("ne", 1f, float.NaN, false)]
    [InlineData("neu", 1f, float.NaN, true)]
    [InlineData("geu", 1f, float.NaN, true)]
    [InlineData("num", 1f, float.NaN, false)]
    [InlineData("nan", 1f, float.NaN, true)]
    public void ComparesFloats(string comparison, float a, float b, bool want)
    {
        new InstructionCase($"setp.{comparison}.f32 q, a, b; selp.b32 d, 1, 0, q;", "b32 f32 f32",
            [BitConverter.SingleToUInt32Bits(a), BitConverter.SingleToUInt32Bits(b), want ? 1ul : 0]).Verify();
    }

    [Theory]
    [InlineData("lt.s32", 0xFFFFFFFF, 1, true)]
    [InlineData("lt.u32", 0xFFFFFFFF, 1, false)]
    [InlineData("hi.u32", 0xFFFFFFFF, 1, true)]
    [InlineData("le.s32", 1, 1, true)]
    [InlineData("ne.b32", 1, 1, false)]
    public void ComparesIntegersAndCombines(string comparison, ulong a, ulong b, bool want)
    {
        new InstructionCase($"setp.{comparison} q, a, b; selp.b32 d, 1, 0, q;", "b32 b32 b32",
            [a, b, want ? 1ul : 0]).Verify();
        string both = comparison.Replace(".", ".and.", StringComparison.Ordinal);
        new InstructionCase($"setp.{both} q|p, a, b, !p; selp.b32 d, 1, 0, q;", "b32 b32 b32", [a, b, 0]).Verify();
        new InstructionCase($"setp.{both} q|p, a, b, p; selp.b32 d, 1, 0, p;", "b32 b32 b32",
            [a, b, want ? 0 : 1ul]).Verify();
    }
}
