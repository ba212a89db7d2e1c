using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Tests;

/// <summary>Atomics on 16 bits and on vectors of halves; the other half of the word stays as it is.</summary>
public class HalfAtomicTests
{
    // f16: 1 is 3C00, 32 is 5000, 0.5 is 3800; bf16: 1 is 3F80, 32 is 4200.
    [Theory]
    [InlineData("red.global.add.noftz.f16 [%rd1+2], %h1;", 0x3C00, 0x5000_1111u)]
    [InlineData("red.global.add.noftz.f16 [%rd1], %h1;", 0x3800, 0x0000_4C00u)] // 16: the small start rounds away at 1
    [InlineData("atom.global.add.noftz.bf16 %h2, [%rd1+2], %h1;", 0x3F80, 0x4200_1111u)]
    [InlineData("red.relaxed.gpu.global.add.noftz.bf16 [%rd1+2], %h1;", 0x3F80, 0x4200_1111u)]
    [InlineData("atom.global.cas.b16 %h2, [%rd1+2], 0, %h1;", 0x1234, 0x1234_1111u)]
    [InlineData("atom.global.cas.b16 %h2, [%rd1], 0, %h1;", 0x1234, 0x0000_1111u)]
    public void TouchOneHalf(string instruction, int operand, uint expected)
    {
        string text = PtxText.Kernel($"mov.b16 %h1, {operand}; {instruction}");
        uint[] found = new PtxProgram(text).Input(0).Input(0x0000_1111u).RunAll().Read<uint>(1);
        Assert.Equal($"{expected:X8}", $"{found[0]:X8}");
    }

    [Fact]
    public void ReturnTheOldHalf()
    {
        // Each lane compares with its own number: exactly the lanes in order succeed, whatever the order of lanes.
        const string body = """
                cvt.u16.u32 %h1, tid;
                add.u16 %h2, %h1, 1;
                mov.u16 %h4, 0;
            LOOP:
                atom.shared.cas.b16 %h3, [cell+2], %h1, %h2;
                setp.ne.u16 %p0, %h3, %h1;
                @%p0 bra LOOP;
                cvt.u32.u16 %r1, %h3;
                st.global.u32 [outAt], %r1;
            """;
        const string zero = "setp.eq.u32 %p1, tid, 0; @%p1 st.shared.u32 [cell], 0; bar.sync 0;";
        Assert.Equal(Enumerable.Range(0, 32),
            PtxText.Threads(zero + body, declarations: ".shared .align 4 .b32 cell;").RunAll().Read<int>(1));
    }

    [Theory]
    [InlineData("red.global.add.noftz.f16x2 [%rd1], %r1;", 0x3C003C00u, new[] { 0x50005000u, 0u, 0u, 0u })]
    [InlineData("red.global.add.noftz.v2.bf16x2 [%rd1], {%r1, %r1};", 0x3F803F80u,
        new[] { 0x42004200u, 0x42004200u, 0u, 0u })]
    [InlineData("atom.global.add.v2.f32 {%f1, %f2}, [%rd1+8], {%f0, %f0};", 0u,
        new[] { 0u, 0u, 0x42000000u, 0x42000000u })]
    [InlineData("mov.b32 {%h1, %h2}, %r1; red.global.v4.f16.add.noftz [%rd1], {%h1, %h2, %h1, %h2};", 0x3C003C00u,
        new[] { 0x50005000u, 0x50005000u, 0u, 0u })]
    public void AddVectors(string instruction, uint operand, uint[] expected)
    {
        string text = PtxText.Kernel($"mov.b32 %r1, {operand}; mov.f32 %f0, 0f3F800000; {instruction}",
            version: "8.1");
        Assert.Equal(expected, new PtxProgram(text).Input(0).Input(new uint[4]).RunAll().Read<uint>(1));
    }

    [Fact]
    public void SumsInGlobalMemoryFlushSubnormals()
    {
        const string body = """
                mov.b32 %f0, 5;
                setp.ne.u32 %p0, tid, 0;
                @%p0 exit;
                st.shared.u32 [cell], 3;
                red.shared.add.f32 [cell], %f0;
                red.global.add.f32 [%rd1], %f0;
                ld.shared.u32 %r1, [cell];
                st.global.u32 [%rd1+4], %r1;
            """;
        Assert.Equal([0, 8], new PtxProgram(PtxText.Kernel(body, declarations: ".shared .align 4 .b32 cell;"))
            .Input(0).Input(3, 0).RunAll().Read<int>(1));
    }

    [Theory]
    [InlineData("atom.global.exch.b16 %h0, [%rd1], %h1;", "unsupported type for this operation")]
    [InlineData("atom.global.add.f16 %h0, [%rd1], %h1;", "'.noftz' goes with .f16 and .bf16 and nothing else")]
    [InlineData("red.global.add.noftz.u32 [%rd1], %r1;", "'.noftz' goes with .f16 and .bf16 and nothing else")]
    [InlineData("red.shared.add.noftz.v2.f16 [%rd1], {%h1, %h2};",
        "vectors are for add on global memory, of .f32, .f16 and .bf16, up to 16 bytes")]
    [InlineData("red.global.add.v4.f32 [%rd1], {%f0, %f1, %f2, %f3};", "needs .version 8.1 or higher")]
    public void OthersAreRefused(string instruction, string problem)
    {
        using var emulator = new Emulator();
        Assert.Equal(problem, Assert.Throws<PtxException>(() =>
            emulator.Load(PtxText.Kernel(instruction), "t.ptx")).Problem);
    }
}
