using BenchmarkDotNet.Attributes;
using CudaLora.Kernels.Emulator;

namespace CudaLora.Bench;

/// <summary>
/// How fast the emulator runs on one core, as time per lane instruction: 1 ns is 1 G/s. Targets in the arithmetic loop:
/// 1 ns with checks off, 5 ns with all checks on.
/// </summary>
public class EmulatorBench
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
            st.relaxed.gpu.global.f32 [at], a;
            st.relaxed.gpu.global.u32 [at+4], z;
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
            st.relaxed.gpu.global.f32 [to], s;
            ret;
        }
        .visible .entry global(.param .u64 out)
        {
            .reg .pred more;
            .reg .b32 i, x<4>;
            .reg .b64 at, offset;
            mov.u32 i, %tid.x;
            mul.wide.u32 offset, i, 16;
            ld.param.u64 at, [out];
            add.u64 at, at, offset;
            mov.u32 i, 0;
        LOOP:
            ld.global.v4.u32 {x0, x1, x2, x3}, [at];
            add.u32 x0, x0, 1;
            st.global.v4.u32 [at+4096], {x0, x1, x2, x3};
            add.u32 i, i, 1;
            setp.lt.u32 more, i, 5000;
            @more bra LOOP;
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
            st.relaxed.gpu.global.f32 [to], c0;
            ret;
        }
        """;

    private const int LaneInstructions = 256 * 20000 * 11, SharedInstructions = 256 * 20000 * 5,
        GlobalInstructions = 256 * 5000 * 6, Products = 8 * 2000;
    private Emulator _emulator = null!;
    private EmulatedModule _module = null!;
    private byte[] _parameters = null!;

    /// <summary>All checks, or bounds only.</summary>
    [Params(false, true)]
    public bool Checks { get; set; }

    /// <summary>Loads the kernels.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _emulator = new Emulator(new EmulatorOptions { Checks = Checks, Workers = 1 });
        _module = _emulator.Load(Text, "bench.ptx");
        ulong memory = _emulator.Allocate(8192);
        _emulator.Fill(memory, 0, 8192);
        _parameters = BitConverter.GetBytes(memory);
    }

    /// <summary>One lane instruction of an arithmetic loop.</summary>
    [Benchmark(OperationsPerInvoke = LaneInstructions)]
    public long Arithmetic() => Launch("arithmetic");

    /// <summary>One lane instruction of a loop with a shared-memory load in five instructions.</summary>
    [Benchmark(OperationsPerInvoke = SharedInstructions)]
    public long Shared() => Launch("shared");

    /// <summary>One lane instruction of a loop with a 16-byte load and store in six instructions.</summary>
    [Benchmark(OperationsPerInvoke = GlobalInstructions)]
    public long Global() => Launch("global");

    /// <summary>One mma.m16n8k16 (4096 operations) in plain fp32.</summary>
    [Benchmark(OperationsPerInvoke = Products)]
    public long Matrix() => Launch("matrix");

    private long Launch(string entry) =>
        _emulator.Launch(_module, entry, 1, 256, 0, _parameters).EnsureSucceeded().Counters.WarpInstructions;
}
