using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Tests;

/// <summary>
/// Device functions: arguments and results in registers and .param space, divergence, faults, refusals.
/// </summary>
public class CallTests
{
    // 3 x + y in .param space, called by entries that stand before its body.
    private const string Affine = """
        .func (.param .b32 result) affine(.param .b32 x, .param .b32 y)
        {
            .reg .b32 %r<3>;
            ld.param.u32 %r0, [x];
            ld.param.u32 %r1, [y];
            mad.lo.u32 %r2, %r0, 3, %r1;
            st.param.u32 [result], %r2;
            ret;
        }
        """;

    [Fact]
    public void ArgumentsAndResultsTravelInParameterSpace()
    {
        int[] found = PtxText.Threads("""
                {
                .param .b32 a; .param .b32 b; .param .b32 r;
                st.param.b32 [a], tid;
                st.param.b32 [b+0], 7;
                call.uni (r), affine, (a, b);
                ld.param.b32 %r1, [r+0];
                st.param.b32 [a], %r1;
                call (r), affine, (a, tid);
                ld.param.b32 %r2, [r];
                }
                st.global.u32 [outAt], %r2;
            """, declarations: Affine).RunAll().Read<int>(1);
        // 3 (3 t + 7) + t
        Assert.Equal(Enumerable.Range(0, 32).Select(t => (10 * t) + 21), found);
    }

    [Fact]
    public void RegistersAndConstantsAreArgumentsToo()
    {
        const string functions = """
            .func (.reg .b64 d) widen(.reg .u32 a, .reg .u32 twice, .reg .f32 f)
            {
                .reg .f32 g; .reg .pred once;
                setp.eq.u32 once, twice, 0;
                cvt.u64.u32 d, a;
                @once ret;
                cvt.rn.f32.u32 g, a;
                mul.rn.f32 g, g, f;
                cvt.rzi.u64.f32 d, g;
            }
            """;
        int[] found = PtxText.Threads("""
                shr.u32 %r2, tid, 4;
                call (%rd5), widen, (tid, %r2, 0f40000000);
                cvt.u32.u64 %r1, %rd5;
                st.global.u32 [outAt], %r1;
            """, declarations: functions).RunAll().Read<int>(1);
        Assert.Equal(Enumerable.Range(0, 32).Select(t => t > 15 ? 2 * t : t), found);
    }

    [Fact]
    public void StructuresAreCopiedInAndOut()
    {
        const string functions = """
            .func (.param .align 8 .b8 result[16]) swap(.param .align 8 .b8 pair[16])
            {
                .reg .b64 a, b;
                ld.param.b64 a, [pair];
                ld.param.b64 b, [pair+8];
                st.param.b64 [result+8], a;
                st.param.b64 [result], b;
                ret;
            }
            """;
        int[] found = PtxText.Threads("""
                cvt.u64.u32 %rd5, tid;
                {
                .param .align 8 .b8 in16[16]; .param .align 8 .b8 out16[16];
                st.param.b64 [in16], %rd5; st.param.b64 [in16+8], 1000;
                call (out16), swap, (in16);
                ld.param.b64 %rd6, [out16]; ld.param.b64 %rd7, [out16+8];
                }
                sub.u64 %rd6, %rd6, %rd7; cvt.u32.u64 %r1, %rd6;
                st.global.u32 [outAt], %r1;
            """, declarations: functions).RunAll().Read<int>(1);
        Assert.Equal(Enumerable.Range(0, 32).Select(t => 1000 - t), found);
    }

    // Collatz steps: every lane leaves the loop at its own time, and some by the early return.
    private const string Collatz = """
        .func (.reg .u32 n) collatz(.reg .u32 x);
        .func (.reg .u32 n) half(.reg .u32 x) { shr.u32 n, x, 1; }
        .func (.reg .u32 n) collatz(.reg .u32 x)
        {
            .reg .pred done, odd;
            .reg .u32 v, bit;
            mov.u32 n, 0;
            mov.u32 v, x;
            setp.eq.u32 done, v, 0;
            @done ret;
        LOOP:
            setp.eq.u32 done, v, 1;
            @done bra END;
            add.u32 n, n, 1;
            and.b32 bit, v, 1;
            setp.ne.u32 odd, bit, 0;
            @!odd call (v), half, (v);
            @odd mad.lo.u32 v, v, 3, 1;
            bra LOOP;
        END:
            ret;
        }
        """;

    [Fact]
    public void LanesThatReturnAtDifferentTimesMeetAgain()
    {
        // The shuffle needs all lanes back; it rotates the counts by one lane.
        int[] found = PtxText.Threads("""
                call (%r1), collatz, (tid);
                add.u32 %r2, lane, 1;
                and.b32 %r2, %r2, 31;
                shfl.sync.idx.b32 %r3, %r1, %r2, 31, 0xFFFFFFFF;
                st.global.u32 [outAt], %r3;
            """, declarations: Collatz).RunAll().Read<int>(1);
        int[] steps =
        [
            0, 0, 1, 7, 2, 5, 8, 16, 3, 19, 6, 14, 9, 9, 17, 17, 4, 12, 20, 20, 7, 7, 15, 15, 10, 23, 10, 111, 18, 18,
            18, 106,
        ];
        Assert.Equal([.. steps[1..], steps[0]], found);
    }

    [Fact]
    public void AGuardedCallLeavesTheOtherLanesAlone()
    {
        int[] found = PtxText.Threads("""
                mov.u32 %r1, 500;
                setp.lt.u32 %p0, tid, 3;
                @!%p0 call (%r1), affine, (tid, 1);
                st.global.u32 [outAt], %r1;
            """, declarations: Affine).RunAll().Read<int>(1);
        Assert.Equal(Enumerable.Range(0, 32).Select(t => t < 3 ? 500 : (3 * t) + 1), found);
    }

    [Fact]
    public void CountersAndTracesGoThroughTheFunction()
    {
        const string body = """
                mov.u32 %r1, tid;
                call (%r1), affine, (%r1, 1);
                call (%r1), affine, (%r1, 2);
                st.global.u32 [outAt], %r1;
            """;
        var steps = new List<TraceStep>();
        PtxResult result = PtxText.Threads(body, declarations: Affine)
            .Run(trace: new Trace(new Dim3(0, 0, 0), 0, 5, steps.Add)).Succeeded();
        LineCounters[] lines = [.. result.Report.Lines];
        Assert.Equal([1L, 1L], lines.Where(l => l.Text.StartsWith("call", StringComparison.Ordinal))
            .Select(l => l.Counters.WarpInstructions));
        LineCounters inside = lines.Single(l => l.Text.StartsWith("mad.lo.u32 %r2, %r0, 3", StringComparison.Ordinal));
        Assert.Equal((2L, 64L), (inside.Counters.WarpInstructions, inside.Counters.LaneInstructions));
        // 9 instructions of the frame, 4 of the body, 5 of each function call.
        Assert.Equal(9 + 4 + 10, result.Report.Counters.WarpInstructions);
        string[] traced = [.. steps.SkipWhile(s => s.Instruction != "call").Select(s => s.Instruction).Take(7)];
        Assert.Equal(["call", "ld.param.u32", "ld.param.u32", "mad.lo.u32", "st.param.u32", "ret",
            "return of affine"], traced);
        Assert.Equal([("%r1", "0x10")], steps.First(s => s.Instruction == "return of affine").Values);
    }

    [Fact]
    public void WhatAFunctionLeftBehindIsNotThereInTheNextCall()
    {
        const string functions = """
            .func (.reg .u32 d) keeps(.reg .u32 set)
            {
                .reg .pred p; .reg .u32 kept;
                setp.ne.u32 p, set, 0;
                @p mov.u32 kept, 5;
                add.u32 d, kept, 1;
            }
            """;
        const string body = "call (%r1), keeps, (1); call (%r1), keeps, (<set>); st.global.u32 [outAt], %r1;";
        PtxText.Threads(body.Replace("<set>", "1"), declarations: functions).RunAllStates();
        EmulatorFault fault = PtxText.Threads(body.Replace("<set>", "0"), declarations: functions).Run()
            .Faulted(FaultKind.UninitialisedRead);
        Assert.Equal("register keeps:kept must be written before it is read", fault.Message);
        const string half = ".func (.param .b32 d) half(.param .b32 a) { ret; }";
        PtxText.Threads("call (%r1), half, (1);", declarations: half).Run().Faulted(FaultKind.UninitialisedRead);
    }

    [Theory]
    [InlineData(".func f() { call f; }", "call f;", "recursive calls are not supported", "f")]
    [InlineData(".func g(); .func f() { call g; } .func g() { call f; }", "call f;",
        "recursive calls are not supported", "f")]
    [InlineData(".extern .func f();", "call f;", "the function has no body in this file", "f")]
    [InlineData("", "call nowhere;", "unknown function", "nowhere")]
    [InlineData(".func f(.reg .u32 a) { }", "call f, (1, 2);",
        "the function takes 1 arguments and gives 0 values, but got 2 and 0", "f")]
    [InlineData(".func f(.reg .u32 a) { }", "call f, (inAt);", "expected a .u32 register, but got .b64", "inAt")]
    [InlineData(".func f(.param .b32 a) { st.param.b32 [a], 1; }", "call f, (tid);", "the space is read-only",
        "st.param.b32")]
    [InlineData(".func f(.reg .b16 a) { }", "call f, (%h0);",
        "a register parameter has 32 or 64 bits; others go through .param", "a")]
    [InlineData("", "call (%r1), %rd0, (tid), p;", "indirect calls are not supported", "%rd0")]
    public void WhatIsNotSupportedIsRefusedByName(string functions, string body, string problem, string offending)
    {
        using var emulator = new Emulator();
        PtxException e = Assert.Throws<PtxException>(() =>
            emulator.Load(PtxText.Kernel(body, declarations: functions), "t.ptx"));
        Assert.Equal((problem, offending), (e.Problem, e.OffendingText));
    }

    private const string Switch = """
            and.b32 %r1, tid, 7;
            <before>
            table: .branchtargets L0, L1, L2, L1, L3;
            mov.u32 %r2, 1000;
            setp.lt.u32 %p0, %r1, 5;
            <guard> brx.idx %r1, table;
            bra END;
        L0: mov.u32 %r2, 100; bra END;
        L1: add.u32 %r2, %r1, 200;
        L2: add.u32 %r2, %r2, 1; bra END;
        L3: mov.u32 %r2, 300;
        END:
            shfl.sync.bfly.b32 %r3, %r2, 1, 31, 0xFFFFFFFF;
            st.global.u32 [outAt], %r3;
        """;

    [Fact]
    public void AnIndexedBranchSendsEachLaneItsWay()
    {
        string text = Switch.Replace("<before>", "", StringComparison.Ordinal);
        int[] found = PtxText.Threads(text.Replace("<guard>", "@%p0", StringComparison.Ordinal)).RunAll().Read<int>(1);
        int[] values = [100, 202, 1001, 204, 300, 1000, 1000, 1000];
        Assert.Equal(Enumerable.Range(0, 32).Select(t => values[(t ^ 1) & 7]), found);
        text = text.Replace("<guard>", "", StringComparison.Ordinal);
        EmulatorFault fault = PtxText.Threads(text).Run().Faulted(FaultKind.InvalidOperand);
        Assert.Equal((5, "the index must be below the 5 branch targets, but got 5"), (fault.Lane, fault.Message));
    }

    [Fact]
    public void AUniformIndexedBranchDoesNotDiverge()
    {
        string text = Switch.Replace("<before>", "mov.u32 %r1, 2;", StringComparison.Ordinal)
            .Replace("<guard>", "", StringComparison.Ordinal).Replace("brx.idx", "brx.idx.uni",
            StringComparison.Ordinal);
        PtxResult result = PtxText.Threads(text).RunAll();
        Assert.Equal(Enumerable.Repeat(1001, 32), result.Read<int>(1));
        Assert.Equal(0, result.Report.Counters.DivergentBranches);
    }
}
