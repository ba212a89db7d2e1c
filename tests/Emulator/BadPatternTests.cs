using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ptx;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests;

/// <summary>
/// What breaks in hand-written Hopper kernels, each with its corrected twin. Proxy fences and waits by threads that own
/// no group are in <see cref="TmaTests"/>, wgmma fences and registers in flight in <see cref="WgmmaTests"/>.
/// </summary>
public class BadPatternTests
{
    // Warp 0 produces (here: leaves); warps 1 and 2 consume and meet each other.
    private const string Roles = """
            setp.eq.u32 %p0, warp, 0;
            @%p0 exit;
            bar.sync <barrier>;
            st.global.u32 [outAt], 1;
        """;

    [Fact]
    public void ABarrierOfAllAfterTheRolesPart()
    {
        EmulatorFault fault = PtxText.Threads(Roles.Replace("<barrier>", "0", StringComparison.Ordinal), 96).Run()
            .Faulted(FaultKind.MissingBarrier);
        Assert.Contains("barrier 0 has 2 of 3 warps, and no warp can reach it any more", fault.Message,
            StringComparison.Ordinal);
        PtxText.Threads(Roles.Replace("<barrier>", "1, 64", StringComparison.Ordinal), 96).RunAllStates();
    }

    // Block 0 multicasts 256 bytes to the pair; every block waits on its own barrier.
    private const string Multicast = """
            mov.u32 %r0, %cluster_ctarank;
            setp.eq.u32 %p0, tid, 0;
            setp.eq.and.u32 %p2, %r0, 0, %p0;
            @%p0 mbarrier.init.shared::cta.b64 [bar], 1;
            fence.mbarrier_init.release.cluster;
            barrier.cluster.arrive.release.aligned;
            barrier.cluster.wait.acquire.aligned;
            <early>
            mov.u16 %h0, 3;
            @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 %rd5, [bar], <bytes>;
            @%p2 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [tile], [%rd0], 256, [bar], %h0;
        WAIT:
            mbarrier.try_wait.parity.shared::cta.b64 %p1, [bar], 0;
            @!%p1 bra WAIT;
            ld.shared.u32 %r1, [tile];
            <end>
        """;

    private const string Leave = "barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;";

    private static PtxProgram MulticastProgram(string bytes, string early, string end) => new PtxProgram(PtxText.Kernel(
        Multicast.Replace("<bytes>", bytes, StringComparison.Ordinal)
            .Replace("<early>", early, StringComparison.Ordinal).Replace("<end>", end, StringComparison.Ordinal),
        declarations: ".shared .align 128 .b32 tile[64];\n.shared .align 8 .b64 bar;"))
    {
        Grid = 2,
        Cluster = 2,
    }
        .Input(new int[64]).Output<int>(1);

    [Fact]
    public void EveryBlockExpectsTheWholeMulticast()
    {
        MulticastProgram("256", "", Leave).RunAllStates();
        foreach (AsyncSchedule schedule in Enum.GetValues<AsyncSchedule>())
            MulticastProgram("128", "", Leave).Run(new EmulatorOptions { Schedule = schedule })
                .Faulted(FaultKind.WrongExpectTx);
    }

    [Fact]
    public void ABlockLeavesWhileAPeerMulticastsIntoIt()
    {
        const string early = "setp.eq.u32 %p3, %r0, 1; @%p3 exit;";
        var kinds = new HashSet<FaultKind?>();
        for (ulong seed = 1; seed <= 20; seed++)
            kinds.Add(MulticastProgram("256", early, "").Run(new EmulatorOptions { Seed = seed }).Report.Fault?.Kind);
        Assert.Contains(FaultKind.EarlyExit, kinds);
    }

    // A box of 4 rows of a tensor of 3: the last row is zero, and counts.
    private const string Tail = """
        .version 8.0
        .target sm_90a
        .address_size 64
        .visible .entry k(.param .align 64 .b8 mapP[128], .param .u64 out)
        {
            .shared .align 128 .b8 stage[128];
            .shared .align 8 .b64 full;
            .reg .pred p, done;
            .reg .b32 tid, at, value, zero;
            .reg .b64 map, outAt, offset, state;
            mov.u32 tid, %tid.x;
            mov.u32 zero, 0;
            mov.b64 map, mapP;
            cvta.param.u64 map, map;
            setp.ne.u32 p, tid, 0;
            @p bra READY;
            mbarrier.init.shared::cta.b64 [full], 1;
            fence.mbarrier_init.release.cluster;
            mbarrier.arrive.expect_tx.shared::cta.b64 state, [full], <bytes>;
            cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [stage], [map, {zero, zero}], [full];
        READY:
            bar.sync 0;
        WAIT:
            mbarrier.try_wait.parity.shared::cta.b64 done, [full], <parity>;
            @!done bra WAIT;
            mov.u32 at, stage;
            mad.lo.u32 at, tid, 4, at;
            ld.shared.u32 value, [at];
            ld.param.u64 outAt, [out];
            mul.wide.u32 offset, tid, 4;
            add.u64 outAt, outAt, offset;
            st.global.u32 [outAt], value;
            ret;
        }
        """;

    private static PtxProgram TailProgram(string bytes, string parity = "0") => new PtxProgram(
        Tail.Replace("<bytes>", bytes, StringComparison.Ordinal).Replace("<parity>", parity, StringComparison.Ordinal))
            .Map<int>(Enumerable.Range(1, 24).ToArray(), TensorMapType.Int32, TensorMapSwizzle.None, [8, 3], [32],
                [8, 4])
            .Output<int>(32);

    [Fact]
    public void RowsOutsideTheTensorAreZeroAndCountTheirBytes()
    {
        Assert.Equal([.. Enumerable.Range(1, 24), .. new int[8]], TailProgram("128").RunAll().Read<int>(1));
        foreach (AsyncSchedule schedule in Enum.GetValues<AsyncSchedule>())
            TailProgram("96").Run(new EmulatorOptions { Schedule = schedule }).Faulted(FaultKind.WrongExpectTx);
    }

    [Fact]
    public void TheWrongParityFallsThroughOrWaitsForEver()
    {
        // Parity 1 of a new barrier counts as complete: the wait falls through before the bytes are there, or, when
        // they have come already, waits for a phase that nobody completes.
        var kinds = new HashSet<FaultKind?>();
        foreach (AsyncSchedule schedule in Enum.GetValues<AsyncSchedule>())
        {
            for (ulong seed = 1; seed <= 10; seed++)
                kinds.Add(TailProgram("128", "1").Run(new EmulatorOptions { Schedule = schedule, Seed = seed })
                    .Report.Fault?.Kind);
        }
        Assert.Equal([FaultKind.SharedRace, FaultKind.Deadlock], kinds.OrderBy(k => k));
    }

    [Fact]
    public void TilesThatDoNotDivideByTheCluster()
    {
        var program = new PtxProgram(PtxText.Kernel("")) { Grid = 3, Cluster = 2 };
        EmulatorException e = Assert.Throws<EmulatorException>(() => program.Input(0).Output<int>(1).Run());
        Assert.Equal("[launch k] the grid must be a multiple of the cluster (2, 1, 1), but got (3, 1, 1)", e.Message);
    }

    [Theory]
    [InlineData("sm_80")]
    [InlineData("sm_90")]
    public void WgmmaNeedsTheLockedTarget(string target)
    {
        using var emulator = new Emulator();
        PtxException e = Assert.Throws<PtxException>(() =>
            emulator.Load(PtxText.Kernel("wgmma.fence.sync.aligned;", target), "t.ptx"));
        Assert.Equal(("needs .target sm_90a or higher", "wgmma.fence.sync.aligned"), (e.Problem, e.OffendingText));
    }

    [Fact]
    public unsafe void MoreThan48KiBOfSharedMemoryMustBeAskedFor()
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        using CudaModule module = CudaModule.Load(context, PtxText.Kernel("", declarations:
            ".extern .shared .align 16 .b8 dynamic[];"), "t.ptx");
        CudaFunction function = module.Function("k");
        var shape = new LaunchShape(1, 32, 64 * 1024);
        ulong* arguments = stackalloc ulong[2];
        Assert.Equal(CudaResult.InvalidValue, driver.LaunchKernel(function.Handle, shape, context.Stream.Handle,
            arguments, 16));
        Assert.Equal("k may use 49152 B of dynamic shared memory until more is asked for", driver.LastFault);
        Assert.Equal(CudaResult.Success, driver.FuncSetAttribute(function.Handle,
            FunctionAttribute.MaxDynamicSharedBytes, 64 * 1024));
        Assert.Equal(CudaResult.Success, driver.LaunchKernel(function.Handle, shape, context.Stream.Handle, arguments,
            16));
    }

    [Fact]
    public void ASwizzledTileThatDoesNotStartAtItsPattern()
    {
        const string body = """
                .reg .f32 d<4>;
                mov.u32 %r0, tile;
                mad.lo.u32 %r0, tid, 16, %r0;
                st.shared.v4.u32 [%r0], {0, 0, 0, 0}; st.shared.v4.u32 [%r0+2048], {0, 0, 0, 0};
                st.shared.v4.u32 [%r0+4096], {0, 0, 0, 0}; st.shared.v4.u32 [%r0+6144], {0, 0, 0, 0};
                st.shared.v4.u32 [%r0+8192], {0, 0, 0, 0};
                fence.proxy.async;
                bar.sync 0;
                mov.u32 %r1, tile;
                add.u32 %r1, %r1, <start>;
                shr.u32 %r1, %r1, 4;
                cvt.u64.u32 %rd5, %r1;
                add.u64 %rd5, %rd5, 0x4000004000010000;
                setp.ne.u32 %p0, tid, tid;
                wgmma.fence.sync.aligned;
                wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {d0, d1, d2, d3}, %rd5, %rd5, %p0, 1, 1, 0, 0;
                wgmma.commit_group.sync.aligned;
                wgmma.wait_group.sync.aligned 0;
                st.global.f32 [outAt], d0;
            """;
        const string tile = ".shared .align 1024 .b8 tile[10240];";
        // 32 bytes is the next k step inside a row; 128 is the second row of the pattern.
        Assert.Equal(new float[128], PtxText.Threads(body.Replace("<start>", "32", StringComparison.Ordinal), 128, tile)
            .RunAll().Read<float>(1));
        EmulatorFault fault = PtxText.Threads(body.Replace("<start>", "128", StringComparison.Ordinal), 128, tile).Run()
            .Faulted(FaultKind.InvalidOperand);
        Assert.Equal("a tile with a swizzle of 128 bytes must start at a multiple of 1024, but got 0x480",
            fault.Message);
    }

    [Theory]
    // Products of 1 beside 2^25: from sm_90 on they are kept to 1, before that only to 2; fp32 alone drops them all.
    [InlineData("sm_90a", true, 33554448f)]
    [InlineData("sm_80", true, 33554432f)]
    [InlineData("sm_90a", false, 33554432f)]
    public void TensorCoreSumsKeepTheBitsOfTheirArchitecture(string target, bool exact, float expected)
    {
        const string body = """
                mov.b32 %r1, 0x3F803F80;
                mov.f32 %f0, 0f4C000000; mov.f32 %f1, %f0; mov.f32 %f2, %f0; mov.f32 %f3, %f0;
                mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f0, %f1, %f2, %f3}, {%r1, %r1, %r1, %r1}, {%r1, %r1}, {%f0, %f1, %f2, %f3};
                st.global.f32 [outAt], %f0;
            """;
        PtxProgram program = new PtxProgram(PtxText.Kernel(body, target)).Input(0).Output<float>(32);
        float[] found = program.Run(new EmulatorOptions { ExactTensorCores = exact }).Succeeded().Read<float>(1);
        Assert.Equal(Enumerable.Repeat(expected, 32), found);
        if (exact && target == "sm_90a") HardwareComparison.Check(program);
    }
}
