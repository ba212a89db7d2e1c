using System.Diagnostics;
using System.Globalization;
using CudaLora.Kernels.Emulator;

namespace CudaLora.Bench;

/// <summary>
/// How fast the emulator runs one core: lane instructions a second in an arithmetic loop and in a shared-memory loop, and
/// mma.sync in its two modes. Targets: 1 G with checks off, 0.2 G with all checks on, in the arithmetic loop.
/// </summary>
public static class EmulatorBench
{
    private const string Text = """
        .version 8.0
        .target sm_80
        .address_size 64
        .visible .entry arithmetic(.param .u64 out)
        {
            .reg .pred more;
            .reg .b32 i, x, y, z;
            .reg .f32 a, b, c;
            .reg .b64 at;
            mov.u32 i, 0; mov.u32 x, %tid.x; mov.u32 y, 3; mov.u32 z, 0;
            mov.f32 a, 0f3F800000; mov.f32 b, 0f3F000000; mov.f32 c, 0f3E800000;
        LOOP:
            shl.b32 z, x, 2;
            add.u32 x, x, y;
            and.b32 y, z, 255;
            xor.b32 z, z, x;
            fma.rn.f32 a, a, b, c;
            fma.rn.f32 b, b, c, a;
            fma.rn.f32 c, a, b, c;
            add.f32 a, a, b;
            add.u32 i, i, 1;
            setp.lt.u32 more, i, 20000;
            @more bra LOOP;
            ld.param.u64 at, [out];
            st.global.f32 [at], a;
            st.global.u32 [at+4], z;
            ret;
        }
        .visible .entry shared(.param .u64 out)
        {
            .shared .align 4 .b32 tile[256];
            .reg .pred more;
            .reg .b32 i, at, x, base;
            .reg .f32 v, s;
            .reg .b64 to;
            mov.u32 i, 0; mov.f32 s, 0f00000000; mov.u32 base, tile; mov.u32 x, %tid.x;
            mad.lo.u32 at, x, 4, base;
            st.shared.f32 [at], s;
        LOOP:
            ld.shared.f32 v, [at];
            fma.rn.f32 s, v, v, s;
            add.u32 i, i, 1;
            setp.lt.u32 more, i, 20000;
            @more bra LOOP;
            ld.param.u64 to, [out];
            st.global.f32 [to], s;
            ret;
        }
        .visible .entry matrix(.param .u64 out)
        {
            .reg .pred more;
            .reg .b32 i, a, b;
            .reg .f32 c<4>;
            .reg .b64 to;
            mov.u32 i, 0; mov.u32 a, 0x3F803F80; mov.u32 b, 0x3C003C00;
            mov.f32 c0, 0f00000000; mov.f32 c1, 0f00000000; mov.f32 c2, 0f00000000; mov.f32 c3, 0f00000000;
        LOOP:
            mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {c0, c1, c2, c3}, {a, a, a, a}, {b, b}, {c0, c1, c2, c3};
            add.u32 i, i, 1;
            setp.lt.u32 more, i, 2000;
            @more bra LOOP;
            ld.param.u64 to, [out];
            st.global.f32 [to], c0;
            ret;
        }
        """;

    /// <summary>Prints one line per kernel and mode.</summary>
    public static void Run()
    {
        foreach (bool checks in new[] { false, true })
        {
            Report("arithmetic", checks, exact: false);
            Report("shared", checks, exact: false);
        }
        Report("matrix", checks: false, exact: false);
        Report("matrix", checks: false, exact: true);
    }

    private static void Report(string entry, bool checks, bool exact)
    {
        using var emulator = new Emulator(new EmulatorOptions { Checks = checks, ExactTensorCores = exact, Workers = 1 });
        using EmulatedModule module = emulator.Load(Text, "bench.ptx");
        byte[] parameters = BitConverter.GetBytes(emulator.Allocate(64));
        double best = double.MaxValue;
        LaunchReport? report = null;
        for (int repeat = 0; repeat < 7; repeat++)
        {
            long start = Stopwatch.GetTimestamp();
            report = emulator.Launch(module, entry, 1, 256, 0, parameters).EnsureSucceeded();
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        double rate = report!.Counters.LaneInstructions / best / 1e9, perWarp = best * 1e9 / report.Counters.WarpInstructions;
        string flops = report.Counters.TensorFlops > 0 ? $", {report.Counters.TensorFlops / best / 1e9:F1} GFLOP/s" : "";
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{entry,-11} checks {(checks ? "on " : "off")} {(exact ? "exact" : "fast ")}: {rate:F2} G lane-instr/s, {perWarp:F1} ns/warp-instr{flops}"));
    }
}
