using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;

namespace CudaLora.Tests;

/// <summary>Clusters: distributed shared memory, the cluster barrier, remote arrivals, multicast.</summary>
public class ClusterTests
{
    private const string ReadPeer = """
            mov.u32 %r0, %cluster_ctarank;
            mov.u32 %r1, tile;
            mad.lo.u32 %r2, tid, 4, %r1;
            mad.lo.u32 %r3, %r0, 1000, tid;
            st.shared.u32 [%r2], %r3;
            barrier.cluster.arrive.release.aligned;
            barrier.cluster.wait.acquire.aligned;
            xor.b32 %r4, %r0, 1;
            mapa.shared::cluster.u32 %r5, %r2, %r4;
            ld.shared::cluster.u32 %r6, [%r5];
            <end>
            mov.u32 %r7, %ctaid.x;
            mul.wide.u32 offset, %r7, 128;
            add.u64 outAt, outAt, offset;
            st.global.u32 [outAt], %r6;
        """;

    private const string End = "barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;";

    private static PtxProgram Program(string body) =>
        new PtxProgram(PtxText.Kernel(body, declarations: ".shared .align 4 .b32 tile[32];")) { Grid = 4, Cluster = 2 }
            .Input(0).Output<int>(128);

    [Fact]
    public void ReadsThePeersSharedMemory()
    {
        int[] found = Program(ReadPeer.Replace("<end>", End, StringComparison.Ordinal)).RunAll().Read<int>(1);
        Assert.Equal(Enumerable.Range(0, 128).Select(i => (((i / 32) ^ 1) % 2 * 1000) + (i % 32)), found);
    }

    [Fact]
    public void LeavingWhileAPeerReadsIsFlaggedUnderSomeSchedule()
    {
        PtxProgram program = Program(ReadPeer.Replace("<end>", "", StringComparison.Ordinal));
        bool flagged = false;
        for (ulong seed = 1; seed <= 30 && !flagged; seed++)
            flagged = program.Run(new EmulatorOptions { Seed = seed }).Report.Fault is { Kind: FaultKind.EarlyExit };
        Assert.True(flagged);
    }

    [Theory]
    [InlineData(FaultKind.UninitialisedRead,
        "barrier.cluster.arrive.release.aligned;\n    barrier.cluster.wait.acquire.aligned;", "bar.sync 0;")]
    [InlineData(FaultKind.SharedRace, "barrier.cluster.arrive.release.aligned;\n",
        "barrier.cluster.arrive.relaxed.aligned;\n")]
    [InlineData(FaultKind.InvalidOperand, "xor.b32 %r4, %r0, 1;", "add.u32 %r4, %r0, 2;")]
    public void ABrokenRuleIsFlagged(FaultKind kind, string rule, string instead)
    {
        string body = ReadPeer.Replace("<end>", End, StringComparison.Ordinal);
        Assert.Contains(rule, body, StringComparison.Ordinal);
        body = body.Replace(rule, instead, StringComparison.Ordinal);
        var kinds = new List<string>();
        for (ulong seed = 1; seed <= 20; seed++)
            kinds.Add($"{Program(body).Run(new EmulatorOptions { Seed = seed }).Report.Fault}");
        Assert.Contains(kinds, k => k.Contains($"{kind}", StringComparison.Ordinal));
    }

    /// <summary>
    /// Block 0 multicasts a row to both blocks; each expects the bytes on its own mbarrier; consumers arrive remotely.
    /// </summary>
    [Fact]
    public void MulticastFillsEveryBlockAndRemoteArrivalsFreeTheStage()
    {
        const string text = """
            .version 8.0
            .target sm_90a
            .address_size 64
            .visible .entry k(.param .align 64 .b8 mapP[128], .param .u64 out)
            .reqnctapercluster 2, 1, 1
            {
                .shared .align 128 .b8 stage[128];
                .shared .align 8 .b64 full;
                .shared .align 8 .b64 empty;
                .reg .pred p, leader, done;
                .reg .b16 mask;
                .reg .b32 tid, rank, turn, parity, at, remote, value, sum, blockIndex;
                .reg .b64 map, outAt, offset, state;
                mov.u32 tid, %tid.x;
                mov.u32 rank, %cluster_ctarank;
                mov.b64 map, mapP;
                cvta.param.u64 map, map;
                setp.ne.u32 p, tid, 0;
                @p bra READY;
                mbarrier.init.shared::cta.b64 [full], 1;
                mbarrier.init.shared::cta.b64 [empty], 64;
                fence.mbarrier_init.release.cluster;
            READY:
                barrier.cluster.arrive.release.aligned;
                barrier.cluster.wait.acquire.aligned;
                mov.u32 turn, 0;
                mov.u32 sum, 0;
                mov.u32 at, empty;
                mapa.shared::cluster.u32 remote, at, 0;
                mov.u16 mask, 3;
            LOOP:
                and.b32 parity, turn, 1;
                @p bra CONSUME;
                mbarrier.arrive.expect_tx.shared::cta.b64 state, [full], 128;
                setp.ne.u32 leader, rank, 0;
                @leader bra CONSUME;
                setp.eq.u32 done, turn, 0;
                @done bra ISSUE;
                xor.b32 value, parity, 1;
            FREE:
                mbarrier.try_wait.parity.shared::cta.b64 done, [empty], value;
                @!done bra FREE;
            ISSUE:
                cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [stage], [map, {0, turn}], [full], mask;
            CONSUME:
                mbarrier.try_wait.parity.shared::cta.b64 done, [full], parity;
                @!done bra CONSUME;
                mov.u32 at, stage;
                mad.lo.u32 at, tid, 4, at;
                ld.shared.u32 value, [at];
                add.u32 sum, sum, value;
                mbarrier.arrive.release.cluster.shared::cluster.b64 _, [remote];
                add.u32 turn, turn, 1;
                setp.lt.u32 done, turn, 4;
                @done bra LOOP;
                ld.param.u64 outAt, [out];
                mov.u32 blockIndex, %ctaid.x;
                mad.lo.u32 at, blockIndex, 32, tid;
                mul.wide.u32 offset, at, 4;
                add.u64 outAt, outAt, offset;
                st.global.u32 [outAt], sum;
                barrier.cluster.arrive.release.aligned;
                barrier.cluster.wait.acquire.aligned;
                ret;
            }
            """;
        int[] found = new PtxProgram(text) { Grid = 4 }
            .Map<int>(Enumerable.Range(0, 128).ToArray(), TensorMapType.Int32, TensorMapSwizzle.None, [32, 4], [128],
                [32, 1])
            .Output<int>(128).RunAll().Read<int>(1);
        Assert.Equal(Enumerable.Range(0, 128).Select(i => (4 * (i % 32)) + 192), found);
    }
}
