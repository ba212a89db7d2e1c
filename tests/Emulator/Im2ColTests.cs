using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Tests;

/// <summary>
/// im2col tensor maps: the pixels of a convolution's input, against the definition of the convolution.
/// </summary>
public class Im2ColTests
{
    private const int Channels = 8, Width = 5, Height = 4, Images = 3, Pixels = 24;

    private const string Text = """
        .version 8.0
        .target sm_90a
        .address_size 64
        .visible .entry k(.param .align 64 .b8 mapP[128], .param .u64 out, .param .u32 pC, .param .u32 pW,
                          .param .u32 pH, .param .u32 pN, .param .u16 pX, .param .u16 pY)
        {
            .shared .align 128 .b8 stage[768];
            .shared .align 8 .b64 full;
            .reg .pred p, done;
            .reg .b16 x, y;
            .reg .b32 tid, c, w, h, n, at, value;
            .reg .b64 map, outAt, offset, state;
            mov.u32 tid, %tid.x;
            mov.b64 map, mapP;
            cvta.param.u64 map, map;
            ld.param.u32 c, [pC]; ld.param.u32 w, [pW]; ld.param.u32 h, [pH]; ld.param.u32 n, [pN];
            ld.param.u16 x, [pX]; ld.param.u16 y, [pY];
            setp.ne.u32 p, tid, 0;
            @p bra READY;
            mbarrier.init.shared::cta.b64 [full], 1;
            fence.mbarrier_init.release.cluster;
            mbarrier.arrive.expect_tx.shared::cta.b64 state, [full], 768;
            cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [stage], [map, {c, w, h, n}], [full], {x, y};
        READY:
            bar.sync 0;
        WAIT:
            mbarrier.try_wait.parity.shared::cta.b64 done, [full], 0;
            @!done bra WAIT;
            mov.u32 at, stage;
            mad.lo.u32 at, tid, 4, at;
            ld.shared.u32 value, [at];
            ld.param.u64 outAt, [out];
            mul.wide.u32 offset, tid, 4;
            add.u64 outAt, outAt, offset;
            st.global.u32 [outAt], value;
            ret;
        }
        """;

    /// <summary>A map for a 3 x 3 filter with a border of one: pixels from -1 on, as many as the image has.</summary>
    private static TensorMap Map(ulong address)
    {
        var spec = new TensorMapSpec(TensorMapType.Int32, address, TensorMapSwizzle.None, TensorMapPromotion.None);
        Assert.Equal(CudaResult.Success, EmulatedTensorMap.EncodeIm2Col(out TensorMap map, spec,
            [Channels, Width, Height, Images], [Channels * 4, Channels * Width * 4, Channels * Width * Height * 4],
            [-1, -1], [-1, -1], channels: Channels, pixels: Pixels, [1, 1, 1, 1]));
        return map;
    }

    private static (int[] Found, LaunchReport Report) Run(int c, int w, int h, int n, ushort x, ushort y,
        AsyncSchedule schedule = AsyncSchedule.Random, string text = Text)
    {
        PtxasGate.Check(text);
        using var emulator = new Emulator(new EmulatorOptions { Schedule = schedule });
        using EmulatedModule module = emulator.Load(text, "im2col.ptx");
        int[] input = [.. Enumerable.Range(1, Channels * Width * Height * Images)];
        ulong from = emulator.Allocate(input.Length * 4), to = emulator.Allocate(Channels * Pixels * 4);
        emulator.Write(from, MemoryMarshal.AsBytes(input.AsSpan()));
        byte[] parameters = new byte[156];
        MemoryMarshal.Write(parameters, Map(from));
        BitConverter.TryWriteBytes(parameters.AsSpan(128), to);
        MemoryMarshal.Cast<int, byte>([c, w, h, n]).CopyTo(parameters.AsSpan(136));
        BitConverter.TryWriteBytes(parameters.AsSpan(152), x);
        BitConverter.TryWriteBytes(parameters.AsSpan(154), y);
        LaunchReport report = emulator.Launch(module, "k", 1, Channels * Pixels, 0, parameters);
        int[] found = new int[Channels * Pixels];
        emulator.Read(to, MemoryMarshal.AsBytes(found.AsSpan()));
        return (found, report);
    }

    [Theory]
    [InlineData(0, -1, -1, 0, 0, 0)] // the first output pixels, filter position (0, 0)
    [InlineData(0, -1, -1, 0, 1, 1)] // the filter's middle: the image itself, and on into the next
    [InlineData(0, 2, 1, 1, 2, 0)] // starts inside a row
    [InlineData(0, 3, 2, 2, 2, 2)] // goes past the last image
    [InlineData(4, 0, 0, 0, 0, 2)] // channels beyond the last are zero
    public void TakesThePixelsOfTheFilterPosition(int c, int w, int h, int n, int x, int y)
    {
        int[] want = new int[Channels * Pixels];
        (int atW, int atH, int atN) = (w, h, n);
        for (int p = 0; p < Pixels; p++)
        {
            (int pixelW, int pixelH) = (atW + x, atH + y);
            for (int k = 0; k < Channels; k++)
            {
                bool inside = pixelW is >= 0 and < Width && pixelH is >= 0 and < Height && atN < Images
                    && c + k < Channels;
                want[(p * Channels) + k] = inside
                    ? 1 + c + k + (Channels * (pixelW + (Width * (pixelH + (Height * atN))))) : 0;
            }
            // The box of base pixels is -1 .. W - 2 and -1 .. H - 2.
            if (++atW < Width - 1) continue;
            atW = -1;
            if (++atH < Height - 1) continue;
            (atH, atN) = (-1, atN + 1);
        }
        foreach (AsyncSchedule schedule in Enum.GetValues<AsyncSchedule>())
        {
            (int[] found, LaunchReport report) = Run(c, w, h, n, (ushort)x, (ushort)y, schedule);
            report.EnsureSucceeded();
            Assert.Equal(want, found);
        }
    }

    [Fact]
    public void AStartOutsideTheBoxAndAWrongModeAreFlagged()
    {
        EmulatorFault? fault = Run(0, Width - 1, 0, 0, 0, 0).Report.Fault;
        Assert.Equal((FaultKind.InvalidOperand, "the first pixel must lie in the map's box, but coordinate 1 is 4"),
            (fault?.Kind, fault?.Message));
        string tile = Text.Replace("global.im2col", "global.tile", StringComparison.Ordinal)
            .Replace("[full], {x, y};", "[full];", StringComparison.Ordinal);
        fault = Run(0, 0, 0, 0, 0, 0, text: tile).Report.Fault;
        Assert.Equal((FaultKind.InvalidOperand, "the tensor map is for im2col copies"), (fault?.Kind, fault?.Message));
    }

    [Theory]
    [InlineData(4, -1, 6, 8, 24, CudaResult.Success)]
    [InlineData(2, 0, 0, 8, 24, CudaResult.InvalidValue)] // two dimensions
    [InlineData(4, -129, 0, 8, 24, CudaResult.InvalidValue)] // eight bits a corner
    [InlineData(4, 0, -64, 8, 24, CudaResult.InvalidValue)] // an empty box
    [InlineData(4, 0, 0, 257, 24, CudaResult.InvalidValue)]
    [InlineData(4, 0, 0, 8, 1025, CudaResult.InvalidValue)]
    public void EncodingRefusesWhatTheDriverRefuses(int rank, int lower, int upper, uint channels, uint pixels,
        CudaResult expected)
    {
        ulong[] dims = [64, 64, 64, 64];
        ulong[] strides = [64, 4096, 262144];
        int spatial = Math.Max(rank - 2, 0);
        Assert.Equal(expected, EmulatedTensorMap.EncodeIm2Col(out _,
            new TensorMapSpec(TensorMapType.Float16, 0, TensorMapSwizzle.None, TensorMapPromotion.None),
            dims.AsSpan(0, rank),
            strides.AsSpan(0, rank - 1), Enumerable.Repeat(lower, spatial).ToArray(),
            Enumerable.Repeat(upper, spatial).ToArray(), channels, pixels, [1, 1, 1, 1]));
    }

    [Fact]
    public void StoresAreRefusedByName()
    {
        using var emulator = new Emulator();
        PtxException e = Assert.Throws<PtxException>(() => emulator.Load(PtxText.Kernel(
            "cp.async.bulk.tensor.3d.global.shared::cta.im2col_no_offs.bulk_group [%rd0, {%r0, %r1, %r2}], [%r3];"),
            "t.ptx"));
        Assert.Equal("im2col stores are not supported", e.Problem);
    }
}
