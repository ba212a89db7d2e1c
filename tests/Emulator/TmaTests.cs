using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;

namespace CudaLora.Tests;

/// <summary>
/// TMA stores and linear bulk copies: clipping, groups, and the staging-buffer mistakes that hardware hides.
/// </summary>
public class TmaTests
{
    private const string Store = """
        .version 8.0
        .target sm_90a
        .address_size 64
        .extern .shared .align 1024 .b8 stage[];
        .visible .entry k(.param .align 64 .b8 mapP[128], .param .u64 in)
        {
            .reg .pred %p<4>;
            .reg .b32 tid, row, at, %r<8>;
            .reg .b64 map, inAt, offset;
            .reg .f32 value;
            mov.u32 tid, %tid.x;
            setp.ne.u32 %p0, tid, 0;
            mov.b64 map, mapP;
            cvta.param.u64 map, map;
            ld.param.u64 inAt, [in];
            mul.wide.u32 offset, tid, 4;
            add.u64 inAt, inAt, offset;
            mov.u32 at, stage;
            mad.lo.u32 at, tid, 4, at;
            mov.u32 row, 0;
        ROUND:
            ld.global.f32 value, [inAt];
            st.shared.f32 [at], value;
            fence.proxy.async.shared::cta;
            bar.sync 0;
            @%p0 bra STORED;
            cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [map, {2, row}], [stage];
            cp.async.bulk.commit_group;
        WAIT:   cp.async.bulk.wait_group.read 0;
        STORED:
            bar.sync 0;
            add.u64 inAt, inAt, 512;
            add.u32 row, row, 8;
            setp.lt.u32 %p1, row, 24;
            @%p1 bra ROUND;
            ret;
        }
        """;

    /// <summary>
    /// Boxes of 8 rows by 16 columns of f32 go to columns 2..17 of a (20, 12) matrix: clipped right and below.
    /// </summary>
    private static PtxProgram Program(string text) =>
        new PtxProgram(text) { Block = 128, DynamicShared = 512 }
            .Map<float>(new float[240], TensorMapType.Float32, TensorMapSwizzle.None, [12, 20], [48], [16, 8])
            .Input(Enumerable.Range(1, 384).Select(v => (float)v).ToArray());

    [Fact]
    public void StoresAreClippedAtTheTensor()
    {
        float[] found = Program(Store).RunAll().Read<float>(0);
        for (int i = 0; i < 240; i++)
        {
            int row = i / 12, column = i % 12;
            Assert.Equal(column < 2 ? 0 : (row * 16) + column - 2 + 1, found[i]);
        }
    }

    [Theory]
    // The two mistakes of published Hopper kernels: no proxy fence before the store, and a wait by threads that own no
    // group.
    [InlineData(FaultKind.MissingProxyFence, "fence.proxy.async.shared::cta;", "")]
    [InlineData(FaultKind.SharedRace, "WAIT:   cp.async.bulk.wait_group.read 0;\nSTORED:",
        "STORED: setp.eq.u32 %p2, tid, 5; @%p2 cp.async.bulk.wait_group.read 0;")]
    [InlineData(FaultKind.SharedRace, "WAIT:   cp.async.bulk.wait_group.read 0;\nSTORED:\n    bar.sync 0;",
        "cp.async.bulk.wait_group.read 0;\nSTORED:")]
    [InlineData(FaultKind.SharedRace, "fence.proxy.async.shared::cta;\n    bar.sync 0;",
        "fence.proxy.async.shared::cta;")]
    [InlineData(FaultKind.Misaligned, "row}], [stage];", "row}], [stage+16];")]
    [InlineData(FaultKind.EarlyExit, "WAIT:   cp.async.bulk.wait_group.read 0;\nSTORED:\n    bar.sync 0;",
        "STORED: bra END; ", "ret;", "END: ret;")]
    public void AMistakeWithTheStagingBufferIsFlagged(FaultKind kind, string rule, string instead, string rule2 = "",
        string instead2 = "")
    {
        Assert.Contains(rule, Store, StringComparison.Ordinal);
        string text = Store.Replace(rule, instead, StringComparison.Ordinal);
        if (rule2.Length > 0) text = text.Replace(rule2, instead2, StringComparison.Ordinal);
        foreach (AsyncSchedule schedule in Enum.GetValues<AsyncSchedule>())
        {
            LaunchReport report = Program(text).Run(new EmulatorOptions { Schedule = schedule }).Report;
            Assert.NotNull(report.Fault);
            Assert.True(kind == report.Fault.Kind, $"{schedule}: expected {kind}, but got {report.Fault}");
        }
    }

    [Fact]
    public void LinearBulkCopiesGoInAndOut()
    {
        var program = new PtxProgram(PtxText.Kernel("""
                setp.ne.u32 %p0, tid, 0;
                @%p0 bra WAIT;
                mbarrier.init.shared::cta.b64 [bar], 1;
                fence.mbarrier_init.release.cluster;
                mbarrier.arrive.expect_tx.shared::cta.b64 %rd5, [bar], 256;
                cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%rd0], 256, [bar];
            WAIT:
                bar.warp.sync 0xFFFFFFFF;
            LOOP:
                mbarrier.try_wait.parity.shared::cta.b64 %p1, [bar], 0;
                @!%p1 bra LOOP;
                mov.u32 %r0, tile;
                mad.lo.u32 %r0, tid, 8, %r0;
                ld.shared.v2.u32 {%r1, %r2}, [%r0];
                add.u32 %r1, %r1, 1000;
                st.shared.v2.u32 [%r0], {%r1, %r2};
                fence.proxy.async;
                bar.warp.sync 0xFFFFFFFF;
                @%p0 exit;
                cp.async.bulk.global.shared::cta.bulk_group [%rd1], [tile], 256;
                cp.async.bulk.commit_group;
                cp.async.bulk.wait_group 0;
            """, declarations: ".shared .align 128 .b32 tile[64];\n.shared .align 8 .b64 bar;"));
        int[] found = program.Input(Enumerable.Range(0, 64).ToArray()).Output<int>(64).RunAll().Read<int>(1);
        Assert.Equal(Enumerable.Range(0, 64).Select(i => i % 2 == 0 ? i + 1000 : i), found);
    }

    [Fact]
    public void EncodingRefusesWhatTheDriverRefuses()
    {
        Assert.Equal(CudaResult.InvalidValue, Encode(8, [64, 64], [128], [64, 64]));
        Assert.Equal(CudaResult.InvalidValue, Encode(0, [64, 64], [120], [64, 64]));
        Assert.Equal(CudaResult.InvalidValue, Encode(0, [64, 64], [128], [128, 64]));
        Assert.Equal(CudaResult.InvalidValue, Encode(0, [64, 64], [128], [64, 257]));
        Assert.Equal(CudaResult.InvalidValue, Encode(0, [64, 64], [128], [4, 64]));
        Assert.Equal(CudaResult.Success, Encode(0, [64, 64], [128], [64, 256]));

        static CudaResult Encode(ulong address, ulong[] dims, ulong[] strides, uint[] box) => EmulatedTensorMap.Encode(
            out _, new TensorMapSpec(TensorMapType.BFloat16, address, TensorMapSwizzle.Bytes128,
                TensorMapPromotion.None), dims, strides, box, [1, 1]);
    }
}
