using CudaLora.Kernels.Emulator;

namespace CudaLora.Tests;

/// <summary>Memory spaces, vector accesses, atomics, barriers, and what is counted.</summary>
public class MemoryTests
{
    [Fact]
    public void VectorLoadsAndStoresOfAllWidths()
    {
        var program = new PtxProgram(PtxText.Kernel("""
                mul.wide.u32 offset, tid, 16;
                add.u64 inAt, %rd0, offset;
                add.u64 outAt, %rd1, offset;
                ld.global.v4.b32 {%r0, %r1, %r2, %r3}, [inAt];
                st.global.v2.b32 [outAt], {%r3, %r2};
                mov.b64 %rd4, {%r1, %r0};
                st.global.b64 [outAt+8], %rd4;
            """)) { Block = 8 };
        int[] values = Enumerable.Range(100, 32).ToArray();
        int[] found = program.Input(values).Output<int>(32).RunAll().Read<int>(1);
        Assert.Equal(values.Chunk(4).SelectMany(c => new[] { c[3], c[2], c[1], c[0] }), found);
    }

    [Fact]
    public void SubWordLoadsExtendByType()
    {
        int[] found = PtxText.Threads("""
                ld.global.s8 %r0, [inAt];
                ld.global.u8 %r1, [inAt];
                ld.global.s16 %r2, [inAt];
                mad.lo.s32 %r0, %r0, 1000, %r1;
                add.s32 %r0, %r0, %r2;
                st.global.b32 [outAt], 0;
                st.global.b32 [outAt], %r0;
            """, 1).Run().Succeeded().Read<int>(1);
        Assert.Equal(0, found[0]);
        var one = new PtxProgram(
            PtxText.Kernel("ld.global.s8 %r0, [inAt]; ld.global.u8 %r1, [inAt]; ld.global.s16 %r2, [inAt]; "
            + "mad.lo.s32 %r0, %r0, 1000, %r1; add.s32 %r0, %r0, %r2; st.global.b32 [outAt], %r0;"))
        { Block = 1 };
        Assert.Equal((-2 * 1000) + 254 - 2, one.Input(-2).Output<int>(1).Run().Succeeded().Read<int>(1)[0]);
    }

    [Fact]
    public void SharedLocalConstAndGenericSpaces()
    {
        int[] found = PtxText.Threads("""
                .local .align 4 .b8 scratch[8];
                shl.b32 %r0, tid, 2;
                mov.u32 %r1, tile;
                add.u32 %r1, %r1, %r0;
                mul.lo.u32 %r2, tid, 3;
                st.shared.u32 [%r1], %r2;
                bar.sync 0;
                xor.b32 %r3, %r0, 4;
                mov.u64 %rd2, tile;
                cvta.shared.u64 %rd2, %rd2;
                cvt.u64.u32 %rd3, %r3;
                add.u64 %rd2, %rd2, %rd3;
                ld.u32 %r4, [%rd2];
                st.local.u32 [scratch+4], %r4;
                ld.local.u32 %r5, [scratch+4];
                and.b32 %r6, tid, 3;
                mul.wide.u32 %rd4, %r6, 4;
                mov.u64 %rd5, table;
                add.u64 %rd5, %rd5, %rd4;
                ld.const.u32 %r7, [%rd5];
                add.u32 %r5, %r5, %r7;
                st.global.u32 [outAt], %r5;
            """, 64, ".const .b32 table[4] = {1000, 2000, 3000, 4000};\n.shared .align 4 .b32 tile[64];")
            .RunAll().Read<int>(1);
        Assert.Equal(Enumerable.Range(0, 64).Select(t => ((t ^ 1) * 3) + ((t & 3) + 1) * 1000), found);
    }

    [Fact]
    public void DynamicSharedMemoryGetsOnlyItsDeclaredAlignment()
    {
        int[] found = PtxText.Threads("mov.u32 %r0, dyn; st.global.u32 [outAt], %r0;", 1,
            ".extern .shared .align 16 .b8 dyn[];", 64)
            .Run().Succeeded().Read<int>(1);
        Assert.Equal(16, found[0] % 32);
    }

    [Fact]
    public void AtomicsOnGlobalAndShared()
    {
        var program = new PtxProgram(PtxText.Kernel("""
                mov.u32 %r0, cell;
                setp.eq.u32 %p0, tid, 0;
                @%p0 st.shared.u32 [%r0], 0;
                bar.sync 0;
                atom.shared.add.u32 %r1, [%r0], 2;
                red.global.add.u32 [%rd1], 1;
                red.global.max.s32 [%rd1+4], tid;
                atom.global.inc.u32 %r3, [%rd1+8], 9;
                atom.global.cas.b32 %r4, [%rd1+12], 0, 77;
                cvt.rn.f32.u32 %f0, tid;
                red.global.add.f32 [%rd1+16], %f0;
                cvt.u64.u32 %rd4, tid;
                red.global.add.u64 [%rd1+24], %rd4;
                bar.sync 0;
                ld.shared.u32 %r5, [%r0];
                st.relaxed.gpu.global.u32 [%rd1+20], %r5;
            """, declarations: ".shared .align 4 .b32 cell;")) { Block = 64, Grid = 3 };
        program.Input(0).Input(new int[8]);
        int[] found = program.RunAll().Read<int>(1);
        Assert.Equal([192, 63, 192 % 10, 77, BitConverter.SingleToInt32Bits(6048f), 128, 6048, 0], found);
    }

    [Fact]
    public void NamedBarriersWithCountsAndReductions()
    {
        // Warps 0 and 1 hand over to warps 2 and 3 through barrier 1: the former only arrive.
        int[] found = PtxText.Threads("""
                mov.u32 %r1, tile;
                shl.b32 %r0, tid, 2;
                add.u32 %r1, %r1, %r0;
                setp.ge.u32 %p0, warp, 2;
                @%p0 bra READ;
                st.shared.u32 [%r1], tid;
                bar.arrive 1, 128;
                bra END;
            READ:
                bar.sync 1, 128;
                ld.shared.u32 %r2, [%r1+-256];
                st.global.u32 [outAt], %r2;
            END:
                setp.lt.u32 %p1, tid, 5;
                bar.red.popc.u32 %r3, 0, %p1;
                bar.red.or.pred %p2, 0, %p1;
                selp.u32 %r4, 100, 0, %p2;
                add.u32 %r3, %r3, %r4;
                @!%p0 st.global.u32 [outAt], %r3;
            """, 128, ".shared .align 4 .b32 tile[64];").RunAll().Read<int>(1);
        Assert.Equal(Enumerable.Repeat(105, 64).Concat(Enumerable.Range(0, 64)), found);
    }

    [Theory]
    [InlineData(32, 31)]
    [InlineData(33, 0)]
    public void CountsBankConflictsOfAColumnRead(int pitch, int conflicts)
    {
        LaunchReport report = PtxText.Threads($"""
                mov.u32 %r1, tile;
                shl.b32 %r2, tid, 2;
                mov.u32 %r3, 0;
            FILL:
                mad.lo.u32 %r4, %r3, {pitch * 4}, %r1;
                add.u32 %r4, %r4, %r2;
                st.shared.u32 [%r4], %r3;
                add.u32 %r3, %r3, 1;
                setp.lt.u32 %p0, %r3, 32;
                @%p0 bra FILL;
                bar.warp.sync 0xFFFFFFFF;
                mad.lo.u32 %r4, tid, {pitch * 4}, %r1;
                ld.shared.u32 %r5, [%r4];
                st.global.u32 [outAt], %r5;
            """, 32, $".shared .align 4 .b32 tile[{pitch * 32}];").Run().Succeeded().Report;
        Assert.Equal(conflicts, report.Counters.BankConflicts);
        Assert.Equal(33, report.Counters.SharedAccesses);
        Assert.Equal(4, report.Counters.GlobalSectors);
        Assert.Equal(128, report.Counters.GlobalWriteBytes);
        LineCounters load = Assert.Single(report.Lines, l => l.Text.StartsWith("ld.shared", StringComparison.Ordinal));
        Assert.Equal(conflicts, load.Counters.BankConflicts);
    }

    [Fact]
    public void CountsSectorsFlopsAndDivergence()
    {
        LaunchReport report = PtxText.Threads("""
                mul.wide.u32 %rd2, tid, 32;
                and.b32 %r9, tid, 1;
                setp.eq.u32 %p0, %r9, 0;
                @%p0 bra SKIP;
                fma.rn.f32 %f1, 0f3F800000, 0f3F800000, 0f3F800000;
            SKIP:
                st.global.u32 [outAt], 0;
                ld.global.u32 %r1, [inAt];
            """).Run().Succeeded().Report;
        Assert.Equal(32, report.Counters.ScalarFlops);
        Assert.Equal(1, report.Counters.DivergentBranches);
        Assert.Equal(8, report.Counters.GlobalSectors);
        Assert.InRange(report.Occupancy, 0.01, 1);
    }

    [Fact]
    public void TraceFollowsOneLane()
    {
        var steps = new List<TraceStep>();
        PtxProgram program = PtxText.Threads("mul.lo.u32 %r0, tid, 3; st.global.u32 [outAt], %r0;", 64);
        program.Run(trace: new Trace(new(0, 0, 0), 1, 5, steps.Add)).Succeeded();
        TraceStep multiply = Assert.Single(steps, s => s.Instruction == "mul.lo.u32");
        Assert.Equal([("%r0", "0x6F"), ("tid", "0x25")], multiply.Values);
        Assert.Equal("ret", steps[^1].Instruction);
    }
}
