using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;

namespace CudaLora.Tests;

/// <summary>Races in global memory: a program that has one must be flagged, its ordered twin must pass.</summary>
public class GlobalRaceTests
{
    // Two blocks of 64 threads; outAt is the thread's own word of the block's part, other the word of the next block.
    private const string Frame = """
            mov.u32 %r20, %ctaid.x;
            mul.wide.u32 %rd8, %r20, 256;
            add.u64 inAt, inAt, %rd8;
            add.u64 outAt, outAt, %rd8;
        """;

    // p0: the first thread of all.
    private const string First = Frame + "setp.eq.u32 %p0, tid, 0; setp.eq.and.u32 %p0, %r20, 0, %p0;";

    private const string Neighbour = Frame + """
            xor.b32 %r1, tid, 1;
            mul.wide.u32 %rd5, %r1, 4;
            add.u64 %rd5, %rd5, %rd0;
            add.u64 %rd5, %rd5, %rd8;
            ld.global.u32 %r2, [%rd5];
        """;

    private const string Halves = Frame + """
            mul.wide.u32 %rd5, tid, 2;
            add.u64 %rd5, %rd5, %rd0;
            add.u64 %rd5, %rd5, %rd8;
        """;

    private const string Update = "ld.global.b16 %h0, [%rd5]; st.global.b16 [%rd5], %h0;";

    private const string Copy = Frame + """
            shl.b32 %r1, tid, 2;
            mov.u32 %r2, tile;
            add.u32 %r1, %r1, %r2;
            cp.async.ca.shared.global [%r1], [<from>], 4;
            cp.async.wait_all;
            st.global.u32 [inAt], 1;
        """;

    // Each thread publishes a word, and reads the word of its partner in the same block.
    private const string Exchange = Frame + """
            st.global.u32 [outAt], tid;
            <order>
            xor.b32 %r1, tid, <partner>;
            mul.wide.u32 %rd5, %r1, 4;
            add.u64 %rd5, %rd1, %rd5;
            add.u64 %rd5, %rd5, %rd8;
            ld.global.u32 %r2, [%rd5];
            st.global.u32 [inAt], %r2;
        """;

    // The last block to arrive sums what all blocks wrote.
    private const string LastBlock = Frame + """
            setp.ne.u32 %p0, tid, 0;
            @%p0 exit;
            add.u32 %r1, %r20, 5;
            st.global.u32 [outAt], %r1;
            <fence>
            atom.global.add.u32 %r2, [%rd0], 1;
            <fence>
            setp.ne.u32 %p0, %r2, 1;
            @%p0 exit;
            ld.global.u32 %r3, [%rd1];
            ld.global.u32 %r4, [%rd1+256];
            add.u32 %r3, %r3, %r4;
            st.global.u32 [%rd1+8], %r3;
        """;

    // Block 1 waits for a flag of block 0.
    private const string Flag = Frame + """
            setp.ne.u32 %p0, tid, 0;
            @%p0 exit;
            setp.eq.u32 %p1, %r20, 1;
            @%p1 bra WAIT;
            st.global.u32 [%rd1], 7;
            <set>
            exit;
        WAIT:
            <get>
            setp.eq.u32 %p2, %r1, 0;
            @%p2 bra WAIT;
            ld.global.u32 %r2, [%rd1];
            st.global.u32 [%rd1+4], %r2;
        """;

    public static TheoryData<string, string> Pairs => new()
    {
        // All blocks, or all warps, write one word.
        { Frame + "st.global.u32 [%rd1], %r20;", Frame + "st.global.u32 [outAt], %r20;" },
        { "st.global.u32 [%rd1], warp;", First + "@%p0 st.global.u32 [%rd1], warp;" },
        { Ordered(Exchange, "", "32"), Ordered(Exchange, "bar.sync 0;", "32") },
        { Ordered(Exchange, "", "1"), Ordered(Exchange, "bar.warp.sync -1;", "1") },
        { Ordered(Exchange, "bar.warp.sync -1;", "32"), Ordered(Exchange, "bar.sync 0;", "1") },
        // Read, then overwritten by another thread.
        { Neighbour + "st.global.u32 [inAt], %r2;", Neighbour + "bar.warp.sync -1; st.global.u32 [inAt], %r2;" },
        // A word that every lane has read.
        { First + "ld.global.u32 %r2, [%rd0]; @%p0 st.global.u32 [%rd0], %r2;",
            Frame + "ld.global.u32 %r2, [inAt]; st.global.u32 [inAt], %r2;" },
        // Atomics are ordered with each other, not with plain writes.
        { "red.global.add.u32 [%rd0], 1; setp.eq.u32 %p0, tid, 63; @%p0 st.global.u32 [%rd0], 9;",
            "red.global.add.u32 [%rd0], 1; atom.global.max.u32 %r1, [%rd0], 9; ld.volatile.global.u32 %r2, [%rd0];" },
        { LastBlock.Replace("<fence>", ""), LastBlock.Replace("<fence>", "membar.gl;") },
        { LastBlock.Replace("<fence>", ""),
            LastBlock.Replace("<fence>", "").Replace("atom.global", "atom.acq_rel.gpu.global") },
        { Ordered(Flag, "st.relaxed.gpu.global.u32 [%rd0], 1;", "ld.relaxed.gpu.global.u32 %r1, [%rd0];"),
            Ordered(Flag, "st.release.gpu.global.u32 [%rd0], 1;", "ld.acquire.gpu.global.u32 %r1, [%rd0];") },
        // Neighbouring halves of a word belong to different lanes.
        { Halves + Update + "ld.global.b16 %h1, [%rd0+2]; bar.warp.sync -1; st.global.b16 [%rd5], %h1;",
            Halves + Update + Update },
        // Vectors in place; then of two warps one that reads the other's quad.
        { Vectors.Replace("<from>", "xor.b32 %r1, tid, 32;"), Vectors.Replace("<from>", "mov.u32 %r1, tid;") },
        // An asynchronous copy reads too.
        { Copy.Replace("<from>", "%rd0"), Copy.Replace("<from>", "inAt") },
    };

    private const string Vectors = """
            mov.u32 %r20, %ctaid.x;
            setp.ne.u32 %p0, %r20, 0;
            @%p0 exit;
            and.b32 %r3, tid, 31;
            <from>
            mul.wide.u32 %rd5, tid, 4; mul.wide.u32 %rd6, %r1, 4;
            and.b64 %rd5, %rd5, -16; and.b64 %rd6, %rd6, -16;
            add.u64 %rd5, %rd5, %rd0; add.u64 %rd6, %rd6, %rd0;
            and.b32 %r4, tid, 3;
            setp.ne.u32 %p0, %r4, 0;
            @%p0 exit;
            ld.global.v4.u32 {%r5, %r6, %r7, %r8}, [%rd6];
            st.global.v4.u32 [%rd5], {%r8, %r7, %r6, %r5};
        """;

    [Theory]
    [MemberData(nameof(Pairs))]
    public void IsFlaggedAndItsTwinPasses(string bad, string good)
    {
        for (ulong seed = 1; seed <= 3; seed++)
        {
            EmulatorFault fault = Program(bad).Run(new EmulatorOptions { Seed = seed, Workers = 1 })
                .Faulted(FaultKind.GlobalRace);
            Assert.InRange(fault.Line, 15, 60);
            Assert.InRange(fault.OtherLine, 15, 60);
            Program(bad).Run(new EmulatorOptions { Seed = seed, GlobalRaces = false }).Succeeded();
        }
        Program(good).RunAllStates();
    }

    [Fact]
    public void TheMessageNamesBothThreads()
    {
        EmulatorFault fault = Program(Frame + "setp.eq.u32 %p0, tid, 40; @%p0 st.global.u32 [%rd1+4], %r20;")
            .Run(new EmulatorOptions { Workers = 1 }).Faulted(FaultKind.GlobalRace);
        Assert.Equal((new Dim3(1, 0, 0), 1, 8, fault.Line), (fault.Block, fault.Warp, fault.Lane, fault.OtherLine));
        Assert.StartsWith("write of global memory at 0x", fault.Message, StringComparison.Ordinal);
        Assert.EndsWith(
            "races with a write by block (0, 0, 0) warp 1 lane 8 with no ordered atomic or fence between the blocks",
            fault.Message, StringComparison.Ordinal);
    }

    /// <summary>The guide shows this kernel and what the emulator says of it.</summary>
    [Fact]
    public void TheGuideTellsWhatHappens()
    {
        const string kernel = """
            .version 8.0
            .target sm_80
            .address_size 64
            .visible .entry last_block(.param .u64 parts, .param .u64 total)
            {
                .reg .pred p;
                .reg .b32 block, ticket, a, b;
                .reg .b64 partsAt, totalAt, at;
                ld.param.u64 partsAt, [parts];
                ld.param.u64 totalAt, [total];
                mov.u32 block, %ctaid.x;
                mad.wide.u32 at, block, 4, partsAt;
                st.global.u32 [at], block;
                <fence>
                atom.global.add.u32 ticket, [totalAt], 1;
                <fence>
                setp.ne.u32 p, ticket, 1;
                @p exit;
                ld.global.u32 a, [partsAt];
                ld.global.u32 b, [partsAt+4];
                add.u32 a, a, b;
                st.global.u32 [totalAt+4], a;
                ret;
            }
            """;
        PtxProgram Program(string fence) =>
            new PtxProgram(kernel.Replace("<fence>", fence, StringComparison.Ordinal), "last_block")
            {
                Grid = 2,
                Block = 1,
            }
            .Output<int>(2).Input(0, 0);
        Assert.Equal(1, Program("membar.gl;").RunAll().Read<int>(1)[1]);
        string said = Program("").Run(new EmulatorOptions { Workers = 1 }).Faulted(FaultKind.GlobalRace).ToString();
        string guide = File.ReadAllText(Path.Combine(SharedData.Root, "kernels", "README.md"));
        Assert.Contains(said, string.Join(' ', guide.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)),
            StringComparison.Ordinal);
    }

    [Fact]
    public void LaunchesAreOrdered()
    {
        // What one launch wrote the next may overwrite: nothing of the shadow is left.
        string text = PtxText.Kernel(Frame + "ld.global.u32 %r2, [outAt]; st.global.u32 [outAt], %r2;");
        using var emulator = new Emulator();
        using EmulatedModule module = emulator.Load(text, "t.ptx");
        ulong memory = emulator.Allocate(4096);
        emulator.Fill(memory, 0, 4096);
        byte[] parameters = [.. BitConverter.GetBytes(memory), .. BitConverter.GetBytes(memory)];
        emulator.Launch(module, "k", 16, 64, 0, parameters).EnsureSucceeded();
        emulator.Launch(module, "k", 8, 64, 0, parameters).EnsureSucceeded();
        emulator.Launch(module, "k", 16, 64, 0, parameters).EnsureSucceeded();
    }

    private static string Ordered(string text, string first, string second) => text
        .Replace("<order>", first, StringComparison.Ordinal).Replace("<partner>", second, StringComparison.Ordinal)
        .Replace("<set>", first, StringComparison.Ordinal).Replace("<get>", second, StringComparison.Ordinal);

    private static PtxProgram Program(string body) =>
        new PtxProgram(PtxText.Kernel(body, declarations: ".shared .align 16 .b32 tile[64];")) { Grid = 2, Block = 64 }
            .Input(new int[128]).Input(new int[128]);
}
