using CudaLora.Kernels.Emulator;

namespace CudaLora.Tests;

/// <summary>Control flow that splits warps, against the same computation in C#.</summary>
public class DivergenceTests
{
    private static int[] Run(string body, int threads = 40) => PtxText.Threads(body, threads).RunAll().Read<int>(1);

    [Fact]
    public void IfElseMeetsAgain()
    {
        int[] found = Run("""
                setp.lt.u32 %p0, lane, 10;
                @%p0 bra A;
                mov.u32 %r0, 100;
                bra B;
            A:  mov.u32 %r0, 200;
            B:  activemask.b32 %r1;
                popc.b32 %r1, %r1;
                add.u32 %r0, %r0, %r1;
                st.global.u32 [outAt], %r0;
            """, 32);
        Assert.Equal(Enumerable.Range(0, 32).Select(t => (t < 10 ? 200 : 100) + 32), found);
    }

    [Fact]
    public void NestedLoopsOfDifferentLengths()
    {
        // for i < tid % 5: for j <= i: sum += 10 i + j
        int[] found = Run("""
                rem.u32 %r0, tid, 5;
                mov.u32 %r1, 0;
                mov.u32 %r3, 0;
            OUTER:
                setp.ge.u32 %p0, %r1, %r0;
                @%p0 bra END;
                mov.u32 %r2, 0;
            INNER:
                mad.lo.u32 %r3, %r1, 10, %r3;
                add.u32 %r3, %r3, %r2;
                add.u32 %r2, %r2, 1;
                setp.le.u32 %p1, %r2, %r1;
                @%p1 bra INNER;
                add.u32 %r1, %r1, 1;
                bra OUTER;
            END:
                st.global.u32 [outAt], %r3;
            """);
        for (int t = 0; t < found.Length; t++)
        {
            int sum = 0;
            for (int i = 0; i < t % 5; i++)
            {
                for (int j = 0; j <= i; j++) sum += (10 * i) + j;
            }
            Assert.Equal(sum, found[t]);
        }
    }

    [Fact]
    public void EarlyExitInALoop()
    {
        int[] found = Run("""
                st.global.u32 [outAt], 0;
                mov.u32 %r0, 0;
            LOOP:
                add.u32 %r0, %r0, 1;
                st.global.u32 [outAt], %r0;
                setp.eq.u32 %p0, %r0, lane;
                @%p0 exit;
                setp.lt.u32 %p1, %r0, 40;
                @%p1 bra LOOP;
            """);
        Assert.Equal(Enumerable.Range(0, 40).Select(t => t % 32 == 0 ? 40 : t % 32), found);
    }

    [Fact]
    public void IrreducibleFlow()
    {
        // Two entries into the cycle A <-> B; A adds 1, B adds 10, until 45 or more.
        int[] found = Run("""
                mov.u32 %r0, 0;
                and.b32 %r1, tid, 1;
                setp.eq.u32 %p0, %r1, 1;
                @%p0 bra B;
            A:  add.u32 %r0, %r0, 1;
                setp.ge.u32 %p1, %r0, 45;
                @%p1 bra END;
            B:  add.u32 %r0, %r0, 10;
                setp.lt.u32 %p1, %r0, 45;
                @%p1 bra A;
            END:
                st.global.u32 [outAt], %r0;
            """);
        Assert.Equal(Enumerable.Range(0, 40).Select(t => Walk(t % 2 == 1)), found);

        static int Walk(bool atB)
        {
            int x = 0;
            while (true)
            {
                if (!atB)
                {
                    x += 1;
                    if (x >= 45) return x;
                }
                atB = false;
                x += 10;
                if (x >= 45) return x;
            }
        }
    }

    [Fact]
    public void OneLaneMayWaitForAnotherOfItsWarp()
    {
        // Lane 0 spins on an mbarrier that lane 1 arrives on; either side may run first.
        int[] found = PtxText.Threads("""
                mov.u32 %r9, bar;
                setp.eq.u32 %p0, tid, 0;
                @%p0 mbarrier.init.shared::cta.b64 [%r9], 1;
                bar.warp.sync 0xFFFFFFFF;
                @%p0 bra WAIT;
                setp.eq.u32 %p1, tid, 1;
                @%p1 mbarrier.arrive.shared::cta.b64 %rd5, [%r9];
                bra END;
            WAIT:
                mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r9], 0;
                @!%p2 bra WAIT;
            END:
                st.global.u32 [outAt], tid;
            """, 32, ".shared .align 8 .b64 bar;").RunAll().Read<int>(1);
        Assert.Equal(Enumerable.Range(0, 32), found);
    }

    [Fact]
    public void AnEndlessKernelIsReportedWithItsLine()
    {
        PtxResult result = PtxText.Threads("LOOP: bra LOOP;").Run(new EmulatorOptions { InstructionBudget = 1 << 20 });
        EmulatorFault fault = result.Faulted(FaultKind.InstructionBudget);
        Assert.Equal("bra", fault.Instruction);
        Assert.Contains("LOOP", PtxText.Kernel("LOOP: bra LOOP;").Split('\n')[fault.Line - 1],
            StringComparison.Ordinal);
    }

    [Fact]
    public void BlocksMayWaitForEachOtherThroughGlobalMemory()
    {
        // Block 0 waits for a flag that the last of 20 blocks sets.
        var program = new PtxProgram(PtxText.Kernel("""
                mov.u32 %r0, %ctaid.x;
                setp.eq.u32 %p0, %r0, 19;
                @%p0 st.release.gpu.global.u32 [%rd0], 7;
                setp.ne.u32 %p1, %r0, 0;
                @%p1 bra END;
            SPIN:
                ld.acquire.gpu.global.u32 %r1, [%rd0];
                setp.ne.u32 %p2, %r1, 7;
                @%p2 bra SPIN;
                st.global.u32 [%rd1], %r1;
            END:
            """)) { Grid = 20, Block = 1 };
        program.Input(0).Output<int>(1);
        Assert.Equal(7, program.Run(new EmulatorOptions { Workers = 1 }).Succeeded().Read<int>(1)[0]);
    }
}
