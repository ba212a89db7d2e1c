using CudaLora.Kernels.Emulator;

namespace CudaLora.Tests;

/// <summary>cp.async groups per lane, copies tied to an mbarrier, arrivals that drop out, remote stores.</summary>
public class AsyncTests
{
    private const string Tile = ".shared .align 16 .b32 tile[128];\n.shared .align 8 .b64 bar;";

    // Every lane copies its word; odd lanes copy a second one in a group of their own.
    private const string Groups = """
            mov.u32 %r0, tile;
            mad.lo.u32 %r1, tid, 4, %r0;
            and.b32 %r2, tid, 1;
            setp.eq.u32 %p0, %r2, 1;
            mov.u32 %r5, 0;
            cp.async.ca.shared.global [%r1], [inAt], 4;
            cp.async.commit_group;
            @!%p0 bra EVEN;
            cp.async.ca.shared.global [%r1+128], [%rd0], 4;
            cp.async.commit_group;
            cp.async.wait_group <odd>;
            ld.shared.u32 %r5, [%r1+<read>];
            bra END;
        EVEN:
            cp.async.wait_group 0;
        END:
            ld.shared.u32 %r4, [%r1<other>];
            add.u32 %r4, %r4, %r5;
            st.global.u32 [outAt], %r4;
            cp.async.wait_all;
        """;

    private static PtxProgram GroupProgram(string odd, string read, string other = "") => PtxText.Threads(
        Groups.Replace("<odd>", odd, StringComparison.Ordinal).Replace("<read>", read, StringComparison.Ordinal)
            .Replace("<other>", other, StringComparison.Ordinal), declarations: Tile);

    [Fact]
    public void EachLaneCommitsAndWaitsForItsOwnGroups()
    {
        // Odd lanes read their first copy twice: one group may stay in flight.
        Assert.Equal(Enumerable.Range(0, 32).Select(t => t % 2 == 1 ? 2 * t : t),
            GroupProgram("1", "0").RunAll().Read<int>(1));
        Assert.Equal(Enumerable.Range(0, 32), GroupProgram("0", "128").RunAll().Read<int>(1));
    }

    [Fact]
    public void AGroupInFlightAndAnotherLanesCopyAreFlagged()
    {
        foreach (AsyncSchedule schedule in Enum.GetValues<AsyncSchedule>())
        {
            var options = new EmulatorOptions { Schedule = schedule };
            GroupProgram("1", "128").Run(options).Faulted(FaultKind.SharedRace);
            // A lane's wait says nothing of the copies of its neighbour.
            GroupProgram("0", "128", "+4").Run(options).Faulted(FaultKind.SharedRace);
        }
    }

    // Warp 0 copies and ties the copies to the barrier; warp 1 waits for it and reads.
    private const string Tied = """
            setp.eq.u32 %p0, tid, 0;
            @%p0 mbarrier.init.shared::cta.b64 [bar], <count>;
            bar.sync 0;
            mov.u32 %r0, tile;
            mad.lo.u32 %r1, lane, 4, %r0;
            setp.eq.u32 %p1, warp, 1;
            @%p1 bra READ;
            st.global.u32 [outAt], 0;
            cp.async.ca.shared.global [%r1], [inAt], 4;
            cp.async.mbarrier.arrive<form>.shared::cta.b64 [bar];
            <own>
            <handover>
            exit;
        READ:
            <wait>
            ld.shared.u32 %r2, [%r1];
            st.global.u32 [outAt], %r2;
        """;

    private const string Wait = "LOOP: mbarrier.try_wait.parity.shared::cta.b64 %p2, [bar], 0; @!%p2 bra LOOP;";

    private static PtxProgram TiedProgram(string count, string form, string own, string handover, string wait) =>
        PtxText.Threads(Tied.Replace("<count>", count, StringComparison.Ordinal)
            .Replace("<form>", form, StringComparison.Ordinal).Replace("<own>", own, StringComparison.Ordinal)
            .Replace("<handover>", handover, StringComparison.Ordinal)
            .Replace("<wait>", wait, StringComparison.Ordinal), 64, Tile);

    [Theory]
    [InlineData("32", ".noinc", "")]
    // Without .noinc the copies add an arrival of their own: the threads still arrive themselves.
    [InlineData("32", "", "mbarrier.arrive.shared::cta.b64 %rd5, [bar];")]
    public void CopiesCompleteOnAnMbarrier(string count, string form, string own)
    {
        int[] found = TiedProgram(count, form, own, "", Wait).RunAll().Read<int>(1);
        Assert.Equal(Enumerable.Range(0, 32), found[32..]);
        foreach (AsyncSchedule schedule in Enum.GetValues<AsyncSchedule>())
            TiedProgram(count, form, own, "bar.sync 1;", "bar.sync 1;").Run(new EmulatorOptions { Schedule = schedule })
                .Faulted(FaultKind.SharedRace);
    }

    [Fact]
    public void DroppedArrivalsAreNotMissedLater()
    {
        const string body = """
                setp.eq.u32 %p0, tid, 0;
                @%p0 mbarrier.init.shared::cta.b64 [bar], 64;
                bar.sync 0;
                setp.eq.u32 %p1, warp, 1;
                @%p1 bra LEAVE;
                mbarrier.arrive.shared::cta.b64 %rd5, [bar];
            FIRST:
                mbarrier.try_wait.shared::cta.b64 %p2, [bar], %rd5;
                @!%p2 bra FIRST;
                mbarrier.arrive.shared::cta.b64 %rd5, [bar];
            SECOND:
                mbarrier.try_wait.shared::cta.b64 %p2, [bar], %rd5;
                @!%p2 bra SECOND;
                st.global.u32 [outAt], 5;
                exit;
            LEAVE:
                mbarrier.<leave>.shared::cta.b64 %rd5, [bar];
                st.global.u32 [outAt], 6;
            """;
        int[] found = PtxText.Threads(body.Replace("<leave>", "arrive_drop", StringComparison.Ordinal), 64, Tile)
            .RunAll().Read<int>(1);
        Assert.Equal([.. Enumerable.Repeat(5, 32), .. Enumerable.Repeat(6, 32)], found);
        PtxText.Threads(body.Replace("<leave>", "arrive", StringComparison.Ordinal), 64, Tile).Run()
            .Faulted(FaultKind.Deadlock);
    }

    [Fact]
    public void PendingCountsAndArrivalsThatMayNotComplete()
    {
        const string body = """
                st.global.u32 [outAt], 0;
                setp.ne.u32 %p0, tid, 0;
                @%p0 exit;
                mbarrier.init.shared::cta.b64 [bar], 5;
                mbarrier.arrive.noComplete.shared::cta.b64 %rd5, [bar], <count>;
                mbarrier.pending_count.b64 %r1, %rd5;
                mbarrier.arrive.shared::cta.b64 %rd6, [bar];
                mbarrier.pending_count.b64 %r2, %rd6;
                mad.lo.u32 %r1, %r1, 10, %r2;
                st.global.u32 [outAt], %r1;
            """;
        Assert.Equal(53, PtxText.Threads(body.Replace("<count>", "2", StringComparison.Ordinal), declarations: Tile)
            .RunAll().Read<int>(1)[0]);
        PtxText.Threads(body.Replace("<count>", "5", StringComparison.Ordinal), declarations: Tile).Run()
            .Faulted(FaultKind.MbarrierMisuse);
        PtxText.Threads(body.Replace("arrive.shared", "arrive_drop.shared", StringComparison.Ordinal)
            .Replace("%rd6, [bar]", "%rd6, [bar], 6", StringComparison.Ordinal)
            .Replace("<count>", "2", StringComparison.Ordinal), declarations: Tile).Run()
            .Faulted(FaultKind.MbarrierMisuse);
    }

    // Each block of a pair sends to the other, which waits for the bytes on its own barrier.
    private const string Remote = """
            mov.u32 %r10, %cluster_ctarank;
            xor.b32 %r11, %r10, 1;
            mov.u32 %r0, tile;
            mov.u32 %r1, bar;
            mad.lo.u32 %r2, tid, 16, %r0;
            st.shared.v4.u32 [%r2], {10, 20, 30, 40};
            setp.eq.u32 %p0, tid, 0;
            @%p0 mbarrier.init.shared::cta.b64 [bar], 1;
            @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 %rd5, [bar], <bytes>;
            barrier.cluster.arrive.release.aligned;
            barrier.cluster.wait.acquire.aligned;
            mapa.shared::cluster.u32 %r3, %r0, %r11;
            mapa.shared::cluster.u32 %r4, %r1, %r11;
            mad.lo.u32 %r12, %r10, 1000, tid;
            <send>
            <wait>
            ld.shared.u32 %r5, [%r2];
            ld.shared.u32 %r6, [%r2+12];
            add.u32 %r5, %r5, %r6;
            barrier.cluster.arrive.release.aligned;
            barrier.cluster.wait.acquire.aligned;
            mul.wide.u32 offset, %r10, 128;
            add.u64 outAt, outAt, offset;
            st.global.u32 [outAt], %r5;
        """;

    private const string Store = """
            mad.lo.u32 %r3, tid, 16, %r3;
            st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.u32 [%r3], {%r12, %r12, %r12, tid}, [%r4];
        """;

    private const string Complete = "mbarrier::complete_tx::bytes";

    private static PtxProgram RemoteProgram(string send, string bytes, string wait = Wait) =>
        new PtxProgram(PtxText.Kernel(Remote.Replace("<send>", send, StringComparison.Ordinal)
            .Replace("<bytes>", bytes, StringComparison.Ordinal).Replace("<wait>", wait, StringComparison.Ordinal),
            declarations: Tile, version: "8.1")) { Grid = 2, Cluster = 2 }.Input(0).Output<int>(64);

    [Fact]
    public void RemoteStoresArriveWithTheirBytes()
    {
        int[] found = RemoteProgram(Store, "512").RunAll().Read<int>(1);
        Assert.Equal(Enumerable.Range(0, 64).Select(i => (i < 32 ? 1000 : 0) + (2 * (i % 32))), found);
        string one = $"mad.lo.u32 %r3, tid, 16, %r3; st.async.shared::cluster.{Complete}.b32 [%r3], %r12, [%r4];";
        int[] single = RemoteProgram(one, "128").RunAll().Read<int>(1);
        Assert.Equal(Enumerable.Range(0, 64).Select(i => (i < 32 ? 1000 : 0) + (i % 32) + 40), single);
    }

    [Fact]
    public void RemoteReductionsAddUp()
    {
        string add = $"red.async.relaxed.cluster.shared::cluster.{Complete}.<op> [%r3], %r12, [%r4];";
        int[] sum = RemoteProgram(add.Replace("<op>", "add.u32"), "128").RunAll().Read<int>(1);
        // 32 lanes of the other block: 0 + .. + 31, and 1000 each.
        Assert.Equal((10 + 496 + 32000 + 40, 10 + 496 + 40), (sum[0], sum[32]));
        Assert.Equal((50, 50), (sum[1], sum[33]));
        int[] most = RemoteProgram(add.Replace("<op>", "max.s32"), "128").RunAll().Read<int>(1);
        Assert.Equal((1031 + 40, 31 + 40), (most[0], most[32]));
        int[] bits = RemoteProgram(add.Replace("<op>", "or.b32"), "128").RunAll().Read<int>(1);
        // 1000 .. 1031 have all of 1023 among them, and 1024; 10 is in 31.
        Assert.Equal((2047 + 40, 31 + 40), (bits[0], bits[32]));
    }

    [Theory]
    [InlineData(FaultKind.WrongExpectTx, "496", Wait)]
    [InlineData(FaultKind.WrongExpectTx, "528", Wait)]
    [InlineData(FaultKind.SharedRace, "512", "")]
    public void RemoteMistakesAreFlagged(FaultKind kind, string bytes, string wait)
    {
        foreach (AsyncSchedule schedule in Enum.GetValues<AsyncSchedule>())
            RemoteProgram(Store, bytes, wait).Run(new EmulatorOptions { Schedule = schedule }).Faulted(kind);
    }

    [Fact]
    public void AStoreAndItsBarrierLiveInOneBlock() =>
        RemoteProgram(Store.Replace("[%r4]", "[%r1]", StringComparison.Ordinal), "512").Run()
            .Faulted(FaultKind.InvalidOperand);
}
