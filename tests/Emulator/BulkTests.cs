using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Tests;

/// <summary>Bulk copies between the blocks of a cluster, bulk reductions, and small forms beside them.</summary>
public class BulkTests
{
    private const string Tile = ".shared .align 128 .b32 tile[64];\n.shared .align 128 .b32 inbox[64];\n"
        + ".shared .align 8 .b64 bar;";

    // Each block of a pair copies its tile into the other's inbox, which completes on the other's barrier.
    private const string Exchange = """
            mov.u32 %r0, %cluster_ctarank;
            xor.b32 %r1, %r0, 1;
            mov.u32 %r2, tile;
            mov.u32 %r3, inbox;
            mov.u32 %r4, bar;
            mad.lo.u32 %r5, tid, 8, %r2;
            mad.lo.u32 %r6, %r0, 1000, tid;
            st.shared.v2.u32 [%r5], {%r6, tid};
            setp.eq.u32 %p0, tid, 0;
            @%p0 mbarrier.init.shared::cta.b64 [bar], 1;
            @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 %rd5, [bar], 256;
            <fence>
            barrier.cluster.arrive.release.aligned;
            barrier.cluster.wait.acquire.aligned;
            mapa.shared::cluster.u32 %r3, %r3, %r1;
            mapa.shared::cluster.u32 %r4, %r4, %r1;
            @%p0 cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%r3], [%r2], 256, [%r4];
            <early>
        WAIT:
            mbarrier.try_wait.parity.shared::cta.b64 %p1, [bar], 0;
            @!%p1 bra WAIT;
            mov.u32 %r7, inbox;
            mad.lo.u32 %r7, tid, 8, %r7;
            ld.shared.v2.u32 {%r8, %r9}, [%r7];
            barrier.cluster.arrive.release.aligned;
            barrier.cluster.wait.acquire.aligned;
            mul.wide.u32 offset, %r0, 128;
            add.u64 outAt, outAt, offset;
            add.u32 %r8, %r8, %r9;
            st.global.u32 [outAt], %r8;
        """;

    private static PtxProgram Program(string fence, string early) => new PtxProgram(PtxText.Kernel(
        Exchange.Replace("<fence>", fence, StringComparison.Ordinal)
            .Replace("<early>", early, StringComparison.Ordinal),
        declarations: Tile))
    {
        Grid = 2,
        Cluster = 2,
    }
        .Input(0).Output<int>(64);

    [Fact]
    public void SharedMemoryIsCopiedToAnotherBlock()
    {
        int[] found = Program("fence.proxy.async;", "").RunAll().Read<int>(1);
        Assert.Equal(Enumerable.Range(0, 64).Select(i => (i < 32 ? 1000 : 0) + (2 * (i % 32))), found);
    }

    [Theory]
    [InlineData(FaultKind.MissingProxyFence, "", "")]
    // The source may not change before the copy has landed.
    [InlineData(FaultKind.SharedRace, "fence.proxy.async;", "bar.warp.sync -1; st.shared.v2.u32 [%r5], {tid, tid};")]
    public void MistakesAreFlagged(FaultKind kind, string fence, string early)
    {
        foreach (AsyncSchedule schedule in Enum.GetValues<AsyncSchedule>())
            Program(fence, early).Run(new EmulatorOptions { Schedule = schedule }).Faulted(kind);
    }

    private const string Reduce = """
            mov.u32 %r0, tile;
            mad.lo.u32 %r1, tid, 4, %r0;
            st.shared.u32 [%r1], <value>;
            fence.proxy.async;
            bar.warp.sync -1;
            setp.ne.u32 %p0, tid, 0;
            @%p0 exit;
            cp.reduce.async.bulk.global.shared::cta.bulk_group.<op> [%rd1], [tile], 64;
            cp.async.bulk.commit_group;
            cp.async.bulk.wait_group 0;
        """;

    [Theory]
    [InlineData("add.u32", "tid", 4 * 7, 4 * 7 + 100)]
    [InlineData("max.s32", "tid", 7, 100)]
    [InlineData("xor.b32", "tid", 0, 100)]
    [InlineData("add.f32", "0x3F800000", 0x40800000, 0x40800000)] // 4; the 100 is a denormal number that 1 swallows
    [InlineData("add.noftz.bf16", "0x3F803F80", 0x40804080, 0x40804080)]
    public void BulkReductionsOfSeveralBlocks(string op, string value, int expected, int withHundred)
    {
        var program = new PtxProgram(PtxText.Kernel(Reduce.Replace("<op>", op, StringComparison.Ordinal)
            .Replace("<value>", value, StringComparison.Ordinal), declarations: Tile))
        { Grid = 4 }.Input(0).Input([.. new int[8], .. Enumerable.Repeat(100, 8), 5]);
        int[] found = program.RunAll().Read<int>(1);
        Assert.Equal(5, found[16]);
        Assert.Equal(expected, found[7]);
        Assert.Equal(op == "add.u32" ? 100 + (4 * 8) : op == "max.s32" ? 100 : withHundred, found[8]);
    }

    [Fact]
    public void ATensorReductionIsClippedAtTheTensor()
    {
        // Boxes of 4 x 8 of f32 at columns 2 to 9 of a (3, 8) tensor.
        const string text = """
            .version 8.0
            .target sm_90a
            .address_size 64
            .visible .entry k(.param .align 64 .b8 mapP[128])
            {
                .shared .align 128 .b32 stage[32];
                .reg .pred p;
                .reg .b32 tid, at;
                .reg .b64 map;
                mov.u32 tid, %tid.x;
                mov.b64 map, mapP;
                cvta.param.u64 map, map;
                mov.u32 at, stage;
                mad.lo.u32 at, tid, 4, at;
                st.shared.f32 [at], 0f40000000;
                fence.proxy.async;
                bar.sync 0;
                setp.ne.u32 p, tid, 0;
                @p exit;
                cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.tile.bulk_group [map, {2, 0}], [stage];
                cp.async.bulk.commit_group;
                cp.async.bulk.wait_group 0;
                ret;
            }
            """;
        float[] found = new PtxProgram(text) { Grid = 3 }
            .Map<float>(Enumerable.Repeat(1f, 24).ToArray(), TensorMapType.Float32, TensorMapSwizzle.None, [8, 3], [32],
                [8, 4])
            .RunAll().Read<float>(0);
        Assert.Equal(Enumerable.Range(0, 24).Select(i => i % 8 < 2 ? 1f : 7f), found);
    }

    [Fact]
    public void ReductionsIntoSharedMemoryAreRefused()
    {
        using var emulator = new Emulator();
        PtxException e = Assert.Throws<PtxException>(() => emulator.Load(PtxText.Kernel(
            "cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.add.u32 [%r0], [%r1], 16, [%r2];"),
            "t.ptx"));
        Assert.Equal("bulk reductions into shared memory are not supported", e.Problem);
    }

    [Fact]
    public void MovmatrixTransposes()
    {
        // Element (r, c) is 100 r + c.
        uint[] found = PtxText.Threads("""
                shr.u32 %r0, lane, 2;
                and.b32 %r1, lane, 3;
                mul.lo.u32 %r0, %r0, 100;
                mad.lo.u32 %r0, %r1, 2, %r0;
                add.u32 %r2, %r0, 1;
                shl.b32 %r2, %r2, 16;
                or.b32 %r0, %r0, %r2;
                movmatrix.sync.aligned.m8n8.trans.b16 %r3, %r0;
                st.global.u32 [outAt], %r3;
            """).RunAll().Read<uint>(1);
        for (int lane = 0; lane < 32; lane++)
        {
            int row = lane / 4, column = 2 * (lane % 4);
            Assert.Equal((uint)((100 * column) + row) | ((uint)((100 * (column + 1)) + row) << 16), found[lane]);
        }
    }

    [Fact]
    public void ACopyThatIgnoresItsSourceWritesZeros()
    {
        int[] found = PtxText.Threads("""
                mov.u32 %r0, tile;
                mad.lo.u32 %r0, tid, 4, %r0;
                setp.ge.u32 %p0, tid, 20;
                mov.pred %p1, %is_explicit_cluster;
                cp.async.ca.shared.global [%r0], [inAt], 4, %p0;
                cp.async.wait_all;
                ld.shared.u32 %r1, [%r0];
                @%p1 add.u32 %r1, %r1, 1000;
                st.global.u32 [outAt], %r1;
            """, declarations: Tile).RunAll().Read<int>(1);
        Assert.Equal(Enumerable.Range(0, 32).Select(t => t < 20 ? t : 0), found);
    }
}
