using CudaLora.Kernels.Emulator;

namespace CudaLora.Tests;

/// <summary>
/// Each kind of fault: a program that has it must be flagged at its line, and its corrected twin must pass.
/// </summary>
public class FaultTests
{
    private const string Tile = ".shared .align 16 .b32 tile[64];";

    private const string Exchange = """
            mov.u32 %r1, tile;
            shl.b32 %r2, tid, 2;
            add.u32 %r3, %r1, %r2;
            xor.b32 %r4, %r2, 128;
            add.u32 %r4, %r1, %r4;
            st.shared.u32 [%r3], 0;
            bar.sync 3;
            st.shared.u32 [%r3], tid;
            <sync>
            ld.shared.u32 %r5, [%r4];
            st.global.u32 [outAt], %r5;
        """;

    public static TheoryData<FaultKind, string, string, int> Pairs => new()
    {
        { FaultKind.OutOfBounds, "ld.global.u32 %r0, [inAt+4];", "ld.global.u32 %r0, [inAt];", 32 },
        { FaultKind.OutOfBounds, "st.shared.u32 [tile+256], tid;",
            "setp.eq.u32 %p0, tid, 0; @%p0 st.shared.u32 [tile+252], tid;", 32 },
        { FaultKind.OutOfBounds, "ld.global.u32 %r0, [%rd0+-4];", "ld.global.u32 %r0, [%rd0];", 32 },
        { FaultKind.OutOfBounds, "mov.u64 %rd5, 0; ld.global.u32 %r0, [%rd5];", "ld.global.u32 %r0, [%rd0];", 32 },
        { FaultKind.Misaligned, "ld.global.b16 %h0, [%rd0+1];", "ld.global.b16 %h0, [%rd0+2];", 32 },
        { FaultKind.Misaligned, "ld.global.v2.u32 {%r0, %r1}, [%rd0+4];", "ld.global.v2.u32 {%r0, %r1}, [%rd0+8];",
            32 },
        { FaultKind.UninitialisedRead, "add.u32 %r0, %r7, 1;", "mov.u32 %r7, 0; add.u32 %r0, %r7, 1;", 32 },
        { FaultKind.UninitialisedRead, "setp.lt.u32 %p0, tid, 9; @%p0 mov.u32 %r7, 0; add.u32 %r0, %r7, 1;",
            "setp.lt.u32 %p0, tid, 9; mov.u32 %r7, 1; @%p0 mov.u32 %r7, 0; add.u32 %r0, %r7, 1;", 32 },
        { FaultKind.UninitialisedRead, "ld.global.u32 %r0, [outAt];",
            "st.global.u32 [outAt], 1; ld.global.u32 %r0, [outAt];", 32 },
        { FaultKind.UninitialisedRead, "ld.shared.u32 %r0, [tile];",
            "setp.eq.u32 %p0, tid, 0; @%p0 st.shared.u32 [tile], 1; bar.sync 0; ld.shared.u32 %r0, [tile];", 32 },
        { FaultKind.SharedRace, Exchange.Replace("<sync>", ""), Exchange.Replace("<sync>", "bar.sync 0;"), 64 },
        { FaultKind.SharedRace, Exchange.Replace("<sync>", "bar.warp.sync 0xFFFFFFFF;"),
            Exchange.Replace("<sync>", "bar.sync 2;"), 64 },
        // Lanes of one warp need a warp barrier too.
        { FaultKind.SharedRace, Exchange.Replace("<sync>", "").Replace("128", "4"),
            Exchange.Replace("<sync>", "bar.warp.sync 0xFFFFFFFF;").Replace("128", "4"), 32 },
        // The second round overwrites what others still read.
        { FaultKind.SharedRace, Exchange.Replace("<sync>", "bar.sync 0;") + "st.shared.u32 [%r3], 5;",
            Exchange.Replace("<sync>", "bar.sync 0;") + "bar.sync 0; st.shared.u32 [%r3], 5;", 64 },
        { FaultKind.MissingBarrier, "setp.ge.u32 %p0, warp, 1; @%p0 bra END; bar.sync 0; END:",
            "setp.ge.u32 %p0, warp, 1; @%p0 bra END; bar.sync 1, 32; END:", 64 },
        { FaultKind.MissingBarrier,
            "setp.ge.u32 %p0, warp, 1; @%p0 bra B; bar.sync 1, 64; bra END; B: bar.sync 2, 64; END:",
            "setp.ge.u32 %p0, warp, 1; @%p0 bra B; bar.sync 1, 64; bra END; B: bar.sync 1, 64; END:", 64 },
        { FaultKind.MissingBarrier,
            "setp.ge.u32 %p0, warp, 1; @%p0 bra B; bar.sync 1, 64; bra END; B: bar.sync 1, 96; END:",
            "bar.sync 1, 96;", 96 },
        { FaultKind.DivergentBarrier, "setp.lt.u32 %p0, lane, 3; @%p0 bra END; bar.sync 0; END:", "bar.sync 0;", 64 },
        { FaultKind.DivergentBarrier, "setp.lt.u32 %p0, lane, 3; @%p0 exit; bar.sync 0;",
            "bar.sync 0; setp.lt.u32 %p0, lane, 3; @%p0 exit;", 64 },
        { FaultKind.InvalidOperand, "bar.sync tid;", "bar.sync warp;", 32 },
        { FaultKind.Trap, "setp.eq.u32 %p0, tid, 31; @%p0 trap;", "setp.eq.u32 %p0, tid, 32; @%p0 trap;", 32 },
        { FaultKind.MbarrierMisuse, "mbarrier.arrive.shared::cta.b64 %rd5, [tile];",
            "setp.eq.u32 %p0, tid, 0; @%p0 mbarrier.init.shared::cta.b64 [tile], 32; bar.warp.sync -1; mbarrier.arrive.shared::cta.b64 %rd5, [tile];", 32 },
        { FaultKind.MbarrierMisuse,
            "setp.eq.u32 %p0, tid, 0; @%p0 mbarrier.init.shared::cta.b64 [tile], 1; bar.sync 0; ld.shared.u32 %r0, [tile];",
            "setp.eq.u32 %p0, tid, 0; @%p0 mbarrier.init.shared::cta.b64 [tile], 1; bar.sync 0; @%p0 st.shared.u32 [tile+8], 1; bar.sync 0; ld.shared.u32 %r0, [tile+8];", 32 },
        { FaultKind.Deadlock, Wait("2"), Wait("1"), 32 },
        { FaultKind.SharedRace, Wait("1").Replace("bar.sync 0;", ""), Wait("1"), 64 },
        { FaultKind.SharedRace, CopyIn("cp.async.wait_group 1;"), CopyIn("cp.async.wait_group 0;"), 32 },
        { FaultKind.SharedRace, CopyIn(""), CopyIn("cp.async.wait_all;"), 32 },
        { FaultKind.OutOfBounds, CopyIn("cp.async.wait_all;").Replace("[inAt]", "[inAt+4]"),
            CopyIn("cp.async.wait_all;"), 32 },
    };

    [Theory]
    [MemberData(nameof(Pairs))]
    public void IsFlaggedAndItsTwinPasses(FaultKind kind, string bad, string good, int threads)
    {
        foreach (AsyncSchedule schedule in Enum.GetValues<AsyncSchedule>())
        {
            EmulatorFault fault = PtxText.Threads(bad, threads, Tile)
                .Run(new EmulatorOptions { Schedule = schedule, Workers = 1 }).Faulted(kind);
            Assert.Equal(("k", "test.ptx"), (fault.Kernel, fault.File));
            Assert.InRange(fault.Line, 20, 60);
            if (kind == FaultKind.SharedRace && fault.OtherLine > 0) Assert.InRange(fault.OtherLine, 20, 60);
        }
        PtxText.Threads(good, threads, Tile).RunAllStates();
    }

    [Fact]
    public void TheMessageNamesEverything()
    {
        EmulatorFault fault = PtxText.Threads("ld.global.u32 %r0, [inAt+4];").Run().Faulted(FaultKind.OutOfBounds);
        Assert.Equal((31, 0, "ld.global.u32"), (fault.Lane, fault.Warp, fault.Instruction));
        string line = fault.ToString();
        Assert.Contains(
            $"[k] OutOfBounds at test.ptx:{fault.Line} 'ld.global.u32' block (0, 0, 0) warp 0 lane 31: 4 bytes at global address",
            line, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', line);
    }

    [Fact]
    public void TheEmulatorGoesOnAfterAFault()
    {
        PtxProgram bad = PtxText.Threads("trap;"), good = PtxText.Threads("st.global.u32 [outAt], tid;");
        bad.Run().Faulted(FaultKind.Trap);
        Assert.Equal(Enumerable.Range(0, 32), good.Run().Succeeded().Read<int>(1));
    }

    [Fact]
    public void WithoutChecksOnlyBoundsRemain()
    {
        var options = new EmulatorOptions { Checks = false };
        PtxText.Threads("add.u32 %r0, %r7, 1;").Run(options).Succeeded();
        PtxText.Threads("ld.global.u32 %r0, [inAt+4];").Run(options).Faulted(FaultKind.OutOfBounds);
    }

    private static string Wait(string arrivals) => $"""
            setp.eq.u32 %p0, tid, 0;
            @%p0 mbarrier.init.shared::cta.b64 [tile], {arrivals};
            bar.sync 0;
            @%p0 mbarrier.arrive.shared::cta.b64 %rd5, [tile];
        WAIT:
            mbarrier.try_wait.parity.shared::cta.b64 %p1, [tile], 0;
            @!%p1 bra WAIT;
        """;

    private static string CopyIn(string wait) => $"""
            shl.b32 %r1, tid, 2;
            mov.u32 %r2, tile;
            add.u32 %r1, %r1, %r2;
            cp.async.ca.shared.global [%r1], [inAt], 4;
            cp.async.commit_group;
            {wait}
            bar.sync 0;
            ld.shared.u32 %r3, [%r1];
            st.global.u32 [outAt], %r3;
        """;
}
