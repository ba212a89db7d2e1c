namespace CudaLora.Tests;

/// <summary>Short ways to write the PTX of a test.</summary>
internal static class PtxText
{
    /// <summary>
    /// A kernel <c>k(in, out)</c>: rd0 = in, rd1 = out, tid = %tid.x, lane, warp; %r, %f, %rd, %p registers at hand,
    /// and
    /// <c>inAt</c>, <c>outAt</c> = this thread's 4-byte element.
    /// </summary>
    public static string Kernel(string body, string target = "sm_90a", string declarations = "",
        string version = "8.0") => $$"""
        .version {{version}}
        .target {{target}}
        .address_size 64
        {{declarations}}
        .visible .entry k(.param .u64 in, .param .u64 out)
        {
            .reg .pred %p<8>;
            .reg .b16 %h<8>;
            .reg .b32 tid, lane, warp, %r<40>;
            .reg .f32 %f<40>;
            .reg .b64 inAt, outAt, offset, %rd<16>;
            ld.param.u64 %rd0, [in];
            ld.param.u64 %rd1, [out];
            mov.u32 tid, %tid.x;
            and.b32 lane, tid, 31;
            shr.u32 warp, tid, 5;
            mul.wide.u32 offset, tid, 4;
            add.u64 inAt, %rd0, offset;
            add.u64 outAt, %rd1, offset;
        {{body}}
            ret;
        }
        """;

    /// <summary>Runs <see cref="Kernel"/> on integers 0, 1, 2, ... and gives one word per thread.</summary>
    public static PtxProgram Threads(string body, int threads = 32, string declarations = "", int dynamicShared = 0) =>
        new PtxProgram(Kernel(body, declarations: declarations)) { Block = threads, DynamicShared = dynamicShared }
            .Input(Enumerable.Range(0, threads).ToArray()).Output<int>(threads);
}
