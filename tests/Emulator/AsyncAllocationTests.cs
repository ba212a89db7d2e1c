using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;

namespace CudaLora.Tests;

/// <summary>
/// A kernel's steady state allocates nothing: a launch with many turns of its loop allocates what one with few does.
/// </summary>
public class AsyncAllocationTests
{
    private const string Frame = """
        .version 8.1
        .target sm_90a
        .address_size 64
        .visible .entry k(.param .align 64 .b8 mapP[128], .param .u64 in, .param .u32 turns)
        {
            .shared .align 1024 .b8 stage[8192];
            .shared .align 8 .b64 full;
            .reg .pred other, done, more, zero;
            .reg .b32 tid, turn, count, at, parity, remote, remoteBar, rank;
            .reg .b64 map, inAt, offset, state, desc;
            .reg .f32 d<4>;
            mov.u32 tid, %tid.x;
            setp.ne.u32 other, tid, 0;
            mov.b64 map, mapP;
            cvta.param.u64 map, map;
            ld.param.u64 inAt, [in];
            ld.param.u32 count, [turns];
            mov.u32 at, stage;
            mov.u32 remoteBar, full;
            mov.u32 rank, %cluster_ctarank;
            mapa.shared::cluster.u32 remote, at, rank;
            mapa.shared::cluster.u32 remoteBar, remoteBar, rank;
            mad.lo.u32 at, tid, 16, at;
            mad.lo.u32 remote, tid, 4, remote;
            mul.wide.u32 offset, tid, 16;
            add.u64 offset, inAt, offset;
            st.shared.v4.u32 [at], {0, 0, 0, 0};
            st.shared.v4.u32 [at+2048], {0, 0, 0, 0};
            st.shared.v4.u32 [at+4096], {0, 0, 0, 0};
            st.shared.v4.u32 [at+6144], {0, 0, 0, 0};
            mov.b64 desc, 0x4000004000010040;
            mov.f32 d0, 0f00000000; mov.f32 d1, d0; mov.f32 d2, d0; mov.f32 d3, d0;
            @!other mbarrier.init.shared::cta.b64 [full], 1;
            fence.proxy.async;
            bar.sync 0;
            mov.u32 turn, 0;
        LOOP:
            and.b32 parity, turn, 1;
            <turn>
            add.u32 turn, turn, 1;
            setp.lt.u32 more, turn, count;
            @more bra LOOP;
            ret;
        }
        """;

    private const string Wait = """
        WAIT: mbarrier.try_wait.parity.shared::cta.b64 done, [full], parity; @!done bra WAIT;
        bar.sync 0;
        """;

    [Theory]
    [InlineData("wgmma.fence.sync.aligned; setp.ne.u32 zero, tid, tid; wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {d0, d1, d2, d3}, desc, desc, zero, 1, 1, 0, 0; wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;")]
    [InlineData("@!other mbarrier.arrive.expect_tx.shared::cta.b64 state, [full], 512; @!other cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [stage], [map, {2, turn}], [full];" + Wait)]
    [InlineData("@!other mbarrier.arrive.expect_tx.shared::cta.b64 state, [full], 256; @!other cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [stage], [inAt], 256, [full];" + Wait)]
    [InlineData("fence.proxy.async; bar.sync 0; @!other cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [map, {2, 0}], [stage]; cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0;")]
    [InlineData("cp.async.cg.shared.global [at], [offset], 16; cp.async.commit_group; cp.async.wait_group 0;")]
    [InlineData("@!other mbarrier.arrive.expect_tx.shared::cta.b64 state, [full], 512; bar.sync 0; st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [remote], tid, [remoteBar];" + Wait)]
    public void ALoopAllocatesNothing(string turn)
    {
        string text = Frame.Replace("<turn>", turn, StringComparison.Ordinal);
        PtxasGate.Check(text);
        foreach (AsyncSchedule schedule in Enum.GetValues<AsyncSchedule>())
        {
            // One worker runs on the thread that launches, whose allocations can be told.
            using var emulator = new Emulator(new EmulatorOptions { Schedule = schedule, Workers = 1 });
            using EmulatedModule module = emulator.Load(text, "loop.ptx");
            ulong input = emulator.Allocate(4096);
            emulator.Write(input, new byte[4096]);
            var spec = new TensorMapSpec(TensorMapType.Float32, input, TensorMapSwizzle.None, TensorMapPromotion.None);
            Assert.Equal(CudaResult.Success,
                EmulatedTensorMap.Encode(out TensorMap map, spec, [16, 64], [64], [16, 8], [1, 1]));
            byte[] parameters = new byte[140];
            MemoryMarshal.Write(parameters, map);
            BitConverter.TryWriteBytes(parameters.AsSpan(128), input);
            long Launch(int turns)
            {
                BitConverter.TryWriteBytes(parameters.AsSpan(136), turns);
                long before = GC.GetAllocatedBytesForCurrentThread();
                emulator.Launch(module, "k", 1, 128, 0, parameters).EnsureSucceeded();
                return GC.GetAllocatedBytesForCurrentThread() - before;
            }
            Launch(400);
            // The runtime may allocate once, for itself, in any of them: the least of several is the kernel's own.
            long few = Enumerable.Range(0, 5).Min(_ => Launch(200)),
                many = Enumerable.Range(0, 5).Min(_ => Launch(400));
            Assert.True(many <= few, $"{schedule}: {many - few} bytes more for 200 turns more");
        }
    }
}
