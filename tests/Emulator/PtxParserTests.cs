using CudaLora.Kernels.Ptx;

namespace CudaLora.Tests;

public class PtxParserTests
{
    private const string Header = ".version 8.0\n.target sm_90a\n.address_size 64\n";

    [Fact]
    public void ReadsDirectivesParametersAndLimits()
    {
        const string text = """
            // a comment
            .version 8.4
            .target sm_90a
            .address_size 64
            /* block
               comment */
            .const .align 16 .b32 table[4] = {1, 0x10, 0b11, 077};
            .global .f32 scale = 0f3F800000;
            .visible .entry k(.param .u64 .ptr .global .align 16 p, .param .u32 n,
                              .param .align 64 .b8 map[128], .param .f64 x)
            .maxntid 384, 1, 1
            .minnctapersm 1
            {
                .reg .b32 %r<3>;
                .reg .pred p, q;
                .shared .align 128 .b8 tile[1024];
                .loc 1 2 3
                mov.u32 %r0, %tid.x;
            $L_loop:
                { .reg .b32 %r0; mov.u32 %r0, (4 * 16 + 2) >> 1; }
                add.s32 %r1, %r0, -1;
                setp.lt.s32 p|q, %r1, 0;
                @!p bra $L_loop;
                ret;
            }
            """;
        PtxModule module = PtxModule.Parse(text, "t.ptx");
        PtxEntry entry = Assert.Single(module.Entries);
        Assert.Equal((84, "sm_90a", 90), (module.Version, module.Target, module.TargetNumber));
        Assert.Equal(384, entry.MaxThreads);
        Assert.Equal([(0, 8), (8, 4), (64, 128), (192, 8)], entry.Parameters.Select(p => (p.Offset, p.Size)));
        Assert.Equal(200, entry.ParameterBytes);
        Assert.Equal(64, entry.Parameters[2].Alignment);
        Assert.Equal([1, 0, 0, 0, 16, 0, 0, 0, 3, 0, 0, 0, 63, 0, 0, 0], module.Variables[0].Initial!);
        Assert.Equal([0, 0, 0x80, 0x3F], module.Variables[1].Initial!);
        Assert.Equal(33ul, entry.Body[1].Operands[1].Bits);
        Assert.NotEqual(entry.Body[0].Operands[0].Register, entry.Body[1].Operands[0].Register);
        Assert.Equal(ulong.MaxValue, entry.Body[2].Operands[2].Bits);
        Assert.Equal(1, entry.Body[4].Operands[0].Target);
        Assert.Equal(23, entry.Body[4].Line);
    }

    [Theory]
    [InlineData(".visible .entry k() { add.s32 %r1, %r2; ret }", 4, "expected a value", "}")]
    [InlineData(".visible .entry k() { bra NOWHERE; }", 4, "unknown name", "NOWHERE")]
    [InlineData(".visible .entry k() { .reg .u32 a; .reg .u32 a; }", 4, "the name is declared twice", "a")]
    [InlineData(".func f() { }\n.func f() { }", 5, "the function is declared twice", "f")]
    [InlineData(".func f() { L: .callprototype _ (); }", 4, "indirect calls are not supported", ".callprototype")]
    [InlineData("\n\n.texref t;", 6, "not a supported module directive", ".texref")]
    [InlineData(".visible .entry k() { @x bra L; }", 4, "a guard is a predicate register", "x")]
    [InlineData(".visible .entry k() { .reg .u32 a; mov.u32 a, 0fZZ; }", 4, "a hex float of this kind has 8 digits",
        "0f")]
    [InlineData(".visible .entry k() { .reg .u32 a; mov.u32 a, 99999999999999999999; }", 4,
        "the number does not fit in 64 bits", "99999999999999999999")]
    [InlineData(".visible .entry k() { ret;", 4, "expected '}'", "end of file")]
    [InlineData("/* open", 4, "the comment has no end", "/*")]
    public void BadTextNamesFileLineColumnAndText(string body, int line, string problem, string offending)
    {
        PtxException e = Assert.Throws<PtxException>(() => PtxModule.Parse(Header + body, "bad.ptx"));
        Assert.Equal(("bad.ptx", line, problem, offending), (e.File, e.Line, e.Problem, e.OffendingText));
        Assert.Equal($"bad.ptx({line},{e.Column}): {problem}: '{offending}'", e.Message);
    }

    [Theory]
    [InlineData(".target sm_80", "a PTX file starts with .version")]
    [InlineData(".version 8.0", "a PTX file needs .target")]
    [InlineData(".version 9.0", "PTX ISA versions up to 8.4 are supported")]
    public void MissingHeaderIsNamed(string text, string problem) =>
        Assert.Equal(problem, Assert.Throws<PtxException>(() => PtxModule.Parse(text, "h.ptx")).Problem);

    [Fact]
    public void TensorAddressesAndHexFloatsKeepTheirBits()
    {
        PtxModule module = PtxModule.Parse(Header + """
            .visible .entry k(.param .u64 p) {
              .reg .b32 a, b; .reg .b64 m; .reg .f32 f; .reg .f64 d;
              ld.param.u64 m, [p+0];
              mov.f32 f, 0fBF800000;
              mov.f64 d, 0d3FF0000000000000;
              mov.f32 f, -1.5;
              cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [a], [m, {a, b}], [b+-8];
              ld.global.v2.b32 {a, _}, [m+-16];
            }
            """, "t.ptx");
        IReadOnlyList<PtxInstruction> body = module.Entries[0].Body;
        Assert.Equal(0xBF800000ul, body[1].Operands[1].Bits);
        Assert.Equal(0x3FF0000000000000ul, body[2].Operands[1].Bits);
        Assert.Equal(-1.5, BitConverter.UInt64BitsToDouble(body[3].Operands[1].Bits));
        Assert.Equal(["async", "bulk", "tensor", "2d", "shared::cluster", "global", "tile",
            "mbarrier::complete_tx::bytes"], body[4].Modifiers);
        Assert.Equal(2, body[4].Operands[1].Items.Count);
        Assert.Equal(unchecked((ulong)-8), body[4].Operands[2].Bits);
        Assert.Equal(unchecked((ulong)-16), body[5].Operands[1].Bits);
        Assert.Equal(OperandKind.Sink, body[5].Operands[0].Items[1].Kind);
    }

    [Fact]
    public void PostDominatorsOfLoopsExitsAndIrreducibleFlow()
    {
        PtxModule module = PtxModule.Parse(Header + """
            .visible .entry k() {
              .reg .pred p;
              @p bra B;
            A: @p bra C;
            B: @p bra A;
            C: @p exit;
              @p bra C;
              ret;
            }
            """, "t.ptx");
        // 0 and the irreducible pair 1, 2 meet at C (3); past the guarded exit everything meets only at the end (6).
        Assert.Equal([3, 3, 3, 6, 6, 6], ControlFlow.ImmediatePostDominators(module.Entries[0].Body));
    }
}
