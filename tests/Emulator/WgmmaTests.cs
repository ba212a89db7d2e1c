using System.Globalization;
using System.Text;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;

namespace CudaLora.Tests;

/// <summary>
/// wgmma with TMA-loaded tiles: D (64, n) = A (64, k) B, for all swizzles and both orders of each operand, against a
/// matrix oracle; and what happens when a rule of the asynchronous protocol is broken.
/// </summary>
public class WgmmaTests
{
    private const int Depth = 64;

    /// <summary>A tile in shared memory as TMA puts it, and how its descriptor steps through k.</summary>
    private sealed record Tile(int Rows, bool MnMajor, int Swizzle)
    {
        // K-major: rows of 64 elements, split into panels one swizzle span wide. MN-major: k rows, panels along M or N.
        public int Span => 8 << Swizzle;

        public int Outer => MnMajor ? Depth : Rows;

        public int Panels => (MnMajor ? Rows : Depth) / Span;

        public int PanelBytes => Outer * Span * 2;

        public int Bytes => Panels * PanelBytes;

        public ulong DescriptorHigh
        {
            get
            {
                uint stride = (uint)(8 * Span * 2), leading = (uint)PanelBytes;
                ulong layout = Swizzle switch { 0 => 0, 1 => 3, 2 => 2, _ => 1 };
                // Without swizzle the units are 16 bytes wide and lie PanelBytes apart: along k for K-major (leading),
                // along MN for MN-major (stride), while eight rows are 128 bytes.
                if (Swizzle == 0) (leading, stride) = MnMajor ? (128u, (uint)PanelBytes) : ((uint)PanelBytes, 128u);
                return (layout << 62) | ((ulong)(stride >> 4) << 32) | ((ulong)(leading >> 4) << 16);
            }
        }

        /// <summary>Byte offset of k step <paramref name="step"/> (16 elements of k).</summary>
        public int Step(int step)
        {
            if (MnMajor) return step * 16 * Span * 2;
            int element = step * 16;
            return (element / Span * PanelBytes) + (element % Span * 2);
        }
    }

    [Theory]
    [InlineData(3, false, 3, false, 64)]
    [InlineData(2, false, 2, false, 32)]
    [InlineData(1, false, 1, false, 16)]
    [InlineData(0, false, 0, false, 8)]
    [InlineData(3, true, 3, true, 128)]
    [InlineData(2, true, 2, true, 64)]
    [InlineData(1, true, 1, true, 32)]
    [InlineData(0, true, 0, true, 16)]
    [InlineData(3, false, 3, true, 256)]
    public void IsTheMatrixProduct(int swizzleA, bool mnMajorA, int swizzleB, bool mnMajorB, int n)
    {
        Tile a = new(64, mnMajorA, swizzleA), b = new(n, mnMajorB, swizzleB);
        (float[] found, float[] want) = Multiply(a, b, n, Text(a, b, n),
            new EmulatorOptions { Schedule = AsyncSchedule.Lazy });
        Assert.Equal(want, found);
    }

    [Theory]
    [InlineData(AsyncSchedule.Eager, false)]
    [InlineData(AsyncSchedule.Random, false)]
    [InlineData(AsyncSchedule.Random, true)]
    public void DoesNotDependOnScheduleOrMode(AsyncSchedule schedule, bool exact)
    {
        Tile a = new(64, false, 3), b = new(32, false, 3);
        (float[] found, float[] want) = Multiply(a, b, 32, Text(a, b, 32),
            new EmulatorOptions { Schedule = schedule, ExactTensorCores = exact, Seed = 9 });
        Assert.Equal(want, found);
    }

    public static TheoryData<FaultKind, string, string> Broken => new()
    {
        { FaultKind.WrongExpectTx, "<bytes>", "<bytes>+16" },
        { FaultKind.WrongExpectTx, "<bytes>", "<bytes>-2048" },
        { FaultKind.MissingWgmmaFence, "wgmma.fence.sync.aligned;", "" },
        { FaultKind.WgmmaRegisterInFlight, "wgmma.wait_group.sync.aligned 0;", "" },
        { FaultKind.WgmmaRegisterInFlight, "wgmma.wait_group.sync.aligned 0;", "wgmma.wait_group.sync.aligned 1;" },
        { FaultKind.MissingWgmmaFence, "//between",
            "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0; add.f32 d0, d0, d1;" },
        { FaultKind.WgmmaRegisterInFlight, "//between", "mov.f32 d3, 0f00000000;" },
        { FaultKind.MissingProxyFence, "fence.mbarrier_init.release.cluster;", "" },
        { FaultKind.SharedRace, "WAIT: mbarrier.try_wait.parity.shared::cta.b64 %p1, [bar], 0;\n@!%p1 bra WAIT;", "" },
        { FaultKind.Misaligned, "[tiles], [mapA", "[tiles+64], [mapA" },
    };

    [Theory]
    [MemberData(nameof(Broken))]
    public void ABrokenRuleIsFlagged(FaultKind kind, string rule, string instead)
    {
        Tile a = new(64, false, 3), b = new(16, false, 3);
        string text = Text(a, b, 16, t =>
        {
            Assert.Contains(rule, t, StringComparison.Ordinal);
            return t.Replace(rule, instead, StringComparison.Ordinal);
        });
        foreach (AsyncSchedule schedule in Enum.GetValues<AsyncSchedule>())
        {
            LaunchReport report = Program(a, b, 16, text).Run(new EmulatorOptions { Schedule = schedule }).Report;
            Assert.NotNull(report.Fault);
            Assert.True(kind == report.Fault.Kind, $"{schedule}: expected {kind}, but got {report.Fault}");
        }
    }

    private static string Text(Tile a, Tile b, int n, Func<string, string>? change = null)
    {
        int sums = n / 2;
        string list = string.Join(", ", Enumerable.Range(0, sums).Select(r => "d" + r));
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $$"""
            .version 8.0
            .target sm_90a
            .address_size 64
            .extern .shared .align 1024 .b8 tiles[];
            .visible .entry k(.param .align 64 .b8 mapAP[128], .param .align 64 .b8 mapBP[128], .param .u64 out)
            {
                .shared .align 8 .b64 bar;
                .reg .pred %p<4>;
                .reg .b32 tid, %r<8>;
                .reg .b64 mapA, mapB, outAt, offset, state, descA, descB, baseA, baseB;
                .reg .f32 d<{{sums}}>;
                mov.u32 tid, %tid.x;
                setp.ne.u32 %p0, tid, 0;
                mov.b64 mapA, mapAP; cvta.param.u64 mapA, mapA;
                mov.b64 mapB, mapBP; cvta.param.u64 mapB, mapB;
                @%p0 bra READY;
                mbarrier.init.shared::cta.b64 [bar], 1;
                fence.mbarrier_init.release.cluster;
                mbarrier.arrive.expect_tx.shared::cta.b64 state, [bar], <bytes>;

            """);
        int at = 0;
        foreach ((Tile tile, string map) in new[] { (a, "mapA"), (b, "mapB") })
        {
            for (int p = 0; p < tile.Panels; p++)
            {
                string where = at == 0 ? "[tiles]" : $"[tiles+{at}]";
                text.Append(CultureInfo.InvariantCulture,
                    $"cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes {where}, [{map}, {{{p * tile.Span}, 0}}], [bar];\n");
                at += tile.PanelBytes;
            }
        }
        text.Append(CultureInfo.InvariantCulture, $$"""
            READY:
                bar.sync 0;
            WAIT: mbarrier.try_wait.parity.shared::cta.b64 %p1, [bar], 0;
            @!%p1 bra WAIT;
                mov.u32 %r1, tiles;
                shr.u32 %r1, %r1, 4;
                cvt.u64.u32 baseA, %r1;
                add.u64 baseB, baseA, {{(a.Bytes >> 4) + (long)b.DescriptorHigh}};
                add.u64 baseA, baseA, {{(long)a.DescriptorHigh}};
                setp.ne.u32 %p2, tid, tid;
                wgmma.fence.sync.aligned;

            """);
        for (int step = 0; step < Depth / 16; step++)
        {
            text.Append(CultureInfo.InvariantCulture, $$"""
                    add.u64 descA, baseA, {{a.Step(step) >> 4}};
                    add.u64 descB, baseB, {{b.Step(step) >> 4}};
                    wgmma.mma_async.sync.aligned.m64n{{n}}k16.f32.bf16.bf16 {{{list}}}, descA, descB, {{(step == 0 ? "%p2" : "1")}}, 1, 1, {{(a.MnMajor ? 1 : 0)}}, {{(b.MnMajor ? 1 : 0)}};

                """);
            if (step == 1) text.Append("    //between\n");
        }
        text.Append(CultureInfo.InvariantCulture, $$"""
                wgmma.commit_group.sync.aligned;
                wgmma.wait_group.sync.aligned 0;
                ld.param.u64 outAt, [out];
                mul.wide.u32 offset, tid, {{4 * sums}};
                add.u64 outAt, outAt, offset;

            """);
        for (int r = 0; r < sums; r++)
            text.Append(CultureInfo.InvariantCulture, $"st.global.f32 [outAt+{4 * r}], d{r};\n");
        text.Append("ret;\n}\n");
        string result = text.ToString();
        if (change is not null) result = change(result);
        return result.Replace("<bytes>", $"{a.Bytes + b.Bytes}", StringComparison.Ordinal);
    }

    private static (float[] Found, float[] Want) Multiply(Tile a, Tile b, int n, string text, EmulatorOptions options)
    {
        PtxProgram program = Program(a, b, n, text);
        float[] raw = program.Run(options).Succeeded().Read<float>(2), found = new float[64 * n];
        int sums = n / 2;
        for (int thread = 0; thread < 128; thread++)
        {
            int g = thread % 32 / 4, t = thread % 4;
            for (int r = 0; r < sums; r++)
            {
                int row = (thread / 32 * 16) + g + (r / 2 % 2 * 8), column = (r / 4 * 8) + (2 * t) + (r % 2);
                found[(row * n) + column] = raw[(thread * sums) + r];
            }
        }
        float[] want = new float[64 * n];
        for (int m = 0; m < 64; m++)
        {
            for (int c = 0; c < n; c++)
            {
                for (int k = 0; k < Depth; k++) want[(m * n) + c] += ValueA(m, k) * ValueB(c, k);
            }
        }
        HardwareComparison.Check(program);
        return (found, want);
    }

    private static int ValueA(int m, int k) => (((m * 5) + (k * 3)) % 9) - 4;

    private static int ValueB(int c, int k) => (((c * 7) + k) % 7) - 3;

    private static PtxProgram Program(Tile a, Tile b, int n, string text)
    {
        var program = new PtxProgram(text) { Block = 128, DynamicShared = a.Bytes + b.Bytes };
        Add(program, a, ValueA);
        Add(program, b, ValueB);
        return program.Output<float>(64 * n);
    }

    /// <summary>
    /// The operand in global memory, (rows, 64) or for MN-major (64, rows), and its tensor map of one-panel boxes.
    /// </summary>
    private static void Add(PtxProgram program, Tile tile, Func<int, int, int> value)
    {
        int width = tile.MnMajor ? tile.Rows : Depth, height = tile.Outer;
        ushort[] data = new ushort[width * height];
        for (int i = 0; i < data.Length; i++)
        {
            int row = i / width, column = i % width;
            int v = tile.MnMajor ? value(column, row) : value(row, column);
            data[i] = (ushort)(BitConverter.SingleToUInt32Bits(v) >> 16);
        }
        program.Map<ushort>(data, TensorMapType.BFloat16, (TensorMapSwizzle)tile.Swizzle,
            [(ulong)width, (ulong)height], [(ulong)width * 2], [(uint)tile.Span, (uint)height]);
    }
}
