using System.Globalization;
using System.Text;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Tests;

/// <summary>ldmatrix, stmatrix, mma.sync and their sums, against a matrix oracle.</summary>
public class MatrixTests
{
    private static string Load(int matrices, string trans) => $$"""
            shl.b32 %r1, tid, 4;
            mov.u32 %r2, tile;
            add.u32 %r1, %r1, %r2;
            shl.b32 %r3, tid, 3;
            cvt.u16.u32 %h0, %r3; add.u32 %r3, %r3, 1; cvt.u16.u32 %h1, %r3; add.u32 %r3, %r3, 1; mov.b32 %r4, {%h0, %h1};
            cvt.u16.u32 %h0, %r3; add.u32 %r3, %r3, 1; cvt.u16.u32 %h1, %r3; add.u32 %r3, %r3, 1; mov.b32 %r5, {%h0, %h1};
            cvt.u16.u32 %h0, %r3; add.u32 %r3, %r3, 1; cvt.u16.u32 %h1, %r3; add.u32 %r3, %r3, 1; mov.b32 %r6, {%h0, %h1};
            cvt.u16.u32 %h0, %r3; add.u32 %r3, %r3, 1; cvt.u16.u32 %h1, %r3; mov.b32 %r7, {%h0, %h1};
            st.shared.v4.b32 [%r1], {%r4, %r5, %r6, %r7};
            bar.warp.sync 0xFFFFFFFF;
            ldmatrix.sync.aligned.m8n8.x{{matrices}}{{trans}}.shared.b16 {{{(string.Join(", ", Enumerable.Range(10, matrices).Select(r => "%r" + r)))}}}, [%r1];
        """;

    /// <summary>Element e of a matrix row r is 8 r + e over all 32 rows; lane l must hold what the ISA says.</summary>
    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(4, false)]
    [InlineData(4, true)]
    public void LdmatrixGivesEachLaneItsPair(int matrices, bool trans)
    {
        string load = Load(matrices, trans ? ".trans" : "");
        int last = matrices - 1;
        int[] found = PtxText.Threads(load + $"\nst.global.u32 [outAt], %r{10 + last};", 32,
            ".shared .align 16 .b8 tile[512];")
            .RunAll().Read<int>(1);
        for (int l = 0; l < 32; l++)
        {
            int g = l / 4, t = l % 4;
            int low = trans ? Value((8 * last) + (2 * t), g) : Value((8 * last) + g, 2 * t);
            int high = trans ? Value((8 * last) + (2 * t) + 1, g) : Value((8 * last) + g, (2 * t) + 1);
            Assert.Equal(low | (high << 16), found[l]);
        }

        static int Value(int row, int column) => (8 * row) + column;
    }

    [Theory]
    [InlineData("")]
    [InlineData(".trans")]
    public void StmatrixUndoesLdmatrix(string trans)
    {
        string body = Load(4, trans) + $$"""

            add.u32 %r20, %r1, 512;
            stmatrix.sync.aligned.m8n8.x4{{trans}}.shared.b16 [%r20], {%r10, %r11, %r12, %r13};
            bar.warp.sync 0xFFFFFFFF;
            shl.b32 %r21, tid, 2;
            add.u32 %r21, %r21, %r2;
            ld.shared.u32 %r22, [%r21+512];
            st.global.u32 [outAt], %r22;
            """;
        int[] found = PtxText.Threads(body, 32, ".shared .align 16 .b8 tile[1024];").RunAll().Read<int>(1);
        Assert.Equal(Enumerable.Range(0, 32).Select(i => (2 * i) | (((2 * i) + 1) << 16)), found);
    }

    [Theory]
    [InlineData("m16n8k16", "f32.bf16.bf16.f32", 16, 16)]
    [InlineData("m16n8k8", "f32.bf16.bf16.f32", 8, 16)]
    [InlineData("m16n8k16", "f32.f16.f16.f32", 16, 16)]
    [InlineData("m16n8k8", "f32.f16.f16.f32", 8, 16)]
    [InlineData("m16n8k8", "f32.tf32.tf32.f32", 8, 32)]
    [InlineData("m16n8k4", "f32.tf32.tf32.f32", 4, 32)]
    [InlineData("m16n8k32", "s32.s8.s8.s32", 32, 8)]
    [InlineData("m16n8k16", "s32.s8.s8.s32", 16, 8)]
    [InlineData("m16n8k16", "f16.f16.f16.f16", 16, 16)]
    public void MmaIsTheMatrixProduct(string shape, string types, int k, int bits)
    {
        // Small integers: every sum is exact in every format, so fast, exact and oracle must agree to the bit.
        bool halfSum = types.StartsWith("f16", StringComparison.Ordinal), integer = bits == 8;
        var a = new int[16, k];
        var b = new int[k, 8];
        for (int i = 0; i < 16 * k; i++) a[i / k, i % k] = (((i * 7) + 3) % 9) - 4;
        for (int i = 0; i < 8 * k; i++) b[i / 8, i % 8] = (((i * 5) + 1) % 7) - 3;
        int aRegisters = 2 * k * bits / 128, bRegisters = k * bits / 128, sums = halfSum ? 2 : 4;
        string dot = halfSum ? "b32" : integer ? "s32" : "f32";
        var body = new StringBuilder();
        body.Append(CultureInfo.InvariantCulture,
            $".reg .{dot} c<4>; mul.wide.u32 offset, tid, {4 * (aRegisters + bRegisters)}; add.u64 inAt, %rd0, offset;\n");
        for (int r = 0; r < aRegisters + bRegisters; r++)
            body.Append(CultureInfo.InvariantCulture, $"ld.global.b32 %r{r}, [inAt+{4 * r}];\n");
        string start = integer ? "5" : halfSum ? "0x40003C00" : "0f40000000";
        for (int r = 0; r < sums; r++) body.Append(CultureInfo.InvariantCulture, $"mov.{dot} c{r}, {start};\n");
        body.Append(
            CultureInfo.InvariantCulture, $"mma.sync.aligned.{shape}.row.col.{types} {{{List("c", 0, sums)}}}, ")
            .Append(CultureInfo.InvariantCulture, $"{{{List("%r", 0, aRegisters)}}}, ")
            .Append(
                CultureInfo.InvariantCulture,
                $"{{{List("%r", aRegisters, bRegisters)}}}, {{{List("c", 0, sums)}}};\n")
            .Append(CultureInfo.InvariantCulture,
                $"mul.wide.u32 offset, tid, {4 * sums}; add.u64 outAt, %rd1, offset;\n");
        for (int r = 0; r < sums; r++)
            body.Append(CultureInfo.InvariantCulture, $"st.global.b32 [outAt+{4 * r}], c{r};\n");
        var program = new PtxProgram(PtxText.Kernel(body.ToString(), "sm_80"));
        program.Input(Fragments(a, b, k, bits, types)).Output<uint>(32 * sums);
        HardwareComparison.Check(program);
        foreach (bool exact in new[] { false, true })
        {
            uint[] found = program.Run(new EmulatorOptions { ExactTensorCores = exact }).Succeeded().Read<uint>(1);
            for (int lane = 0; lane < 32; lane++)
            {
                for (int e = 0; e < 4; e++)
                {
                    int row = (lane / 4) + (8 * (e / 2)), column = (2 * (lane % 4)) + (e % 2);
                    double want = integer ? 5 : halfSum ? 1 + (e % 2) : 2;
                    for (int p = 0; p < k; p++) want += a[row, p] * b[p, column];
                    double got = halfSum
                        ? (double)BitConverter.UInt16BitsToHalf((ushort)(found[(lane * 2) + (e / 2)] >> (16 * (e % 2))))
                        : integer ? (int)found[(lane * 4) + e] : BitConverter.UInt32BitsToSingle(found[(lane * 4) + e]);
                    Assert.Equal(want, got);
                }
            }
        }

        static string List(string name, int first, int count) =>
            string.Join(", ", Enumerable.Range(first, count).Select(r => name + r));
    }

    /// <summary>Lane by lane: A registers, then B registers, as the ISA's fragment tables say.</summary>
    private static uint[] Fragments(int[,] a, int[,] b, int k, int bits, string types)
    {
        var words = new List<uint>();
        int per = 32 / bits, half = k * bits / 128;
        for (int lane = 0; lane < 32; lane++)
        {
            int g = lane / 4, t = lane % 4;
            for (int r = 0; r < 2 * half; r++)
                words.Add(Pack(e => a[g + (8 * (r % 2)), (((r / 2) * 4) + t) * per + e]));
            for (int r = 0; r < half; r++)
                words.Add(Pack(e => b[((r * 4) + t) * per + e, g]));
        }
        return [.. words];

        uint Pack(Func<int, int> element)
        {
            uint word = 0;
            for (int e = 0; e < per; e++)
            {
                int v = element(e);
                uint one = bits switch
                {
                    8 => (byte)(sbyte)v,
                    32 => BitConverter.SingleToUInt32Bits(v),
                    _ => types.Contains("bf16", StringComparison.Ordinal) ? BitConverter.SingleToUInt32Bits(v) >> 16
                        : BitConverter.HalfToUInt16Bits((Half)v),
                };
                word |= one << (bits * e);
            }
            return word;
        }
    }

    [Fact]
    public unsafe void ExactStepsCutAtTheirFractionBits()
    {
        // 2^24 + eight products of 0.75: with 24 fraction bits below 2^24 each 0.75 keeps its first bit below the unit
        // only where the format has room: F = 24 keeps 2^0 steps (0.75 -> 0), F = 25 keeps 2^-1 steps (0.75 -> 0.5).
        float* a = stackalloc float[8];
        float* b = stackalloc float[8];
        for (int i = 0; i < 8; i++) (a[i], b[i]) = (0.75f, 1);
        Assert.Equal(16777216f, TensorCore.Step(16777216f, a, b, 1, 8, PtxType.BF16, 24));
        Assert.Equal(16777220f, TensorCore.Step(16777216f, a, b, 1, 8, PtxType.BF16, 25));
        // The sum is cut toward zero: 1 + 2^-24 stays 1, and 1 - 2^-24 keeps its bits.
        (a[0], b[0]) = (1, BitConverter.UInt32BitsToSingle(0x33800000));
        Assert.Equal(1f, TensorCore.Step(1f, a, b, 1, 1, PtxType.BF16, 25));
        b[0] = -b[0];
        Assert.Equal(0.99999994f, TensorCore.Step(1f, a, b, 1, 1, PtxType.BF16, 25));
        a[0] = float.PositiveInfinity;
        Assert.Equal(float.NegativeInfinity, TensorCore.Step(1f, a, b, 1, 1, PtxType.BF16, 25));
        b[0] = 0;
        Assert.Equal(0x7FFFFFFFu, BitConverter.SingleToUInt32Bits(TensorCore.Step(1f, a, b, 1, 1, PtxType.BF16, 25)));
    }
}
