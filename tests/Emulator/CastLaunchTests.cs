using System.Runtime.InteropServices;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests;

/// <summary>Every pair of element types, bit for bit against the CPU's conversions of the base library.</summary>
public class CastLaunchTests
{
    private static readonly float[] Values =
    [
        0f, -0f, 1f, -1.5f, 3.1415927f, 1.00390625f, 1.01171875f, 65504f, 65520f, -70000f, 1e-7f, 6e-8f, 3e38f,
        float.PositiveInfinity, float.NegativeInfinity, 0.1f, -2.7f, 123456.79f, 1e-40f,
    ];

    [Theory]
    [InlineData(CastType.F32, CastType.BF16, 0)]
    [InlineData(CastType.F32, CastType.BF16, 1)]
    [InlineData(CastType.F32, CastType.F16, 0)]
    [InlineData(CastType.BF16, CastType.F32, 0)]
    [InlineData(CastType.BF16, CastType.F16, 3)]
    [InlineData(CastType.F16, CastType.F32, 0)]
    [InlineData(CastType.F16, CastType.BF16, 0)]
    [InlineData(CastType.F16, CastType.BF16, 1)]
    public void EveryPairIsTheNearest(CastType from, CastType to, int offset)
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        float[] exact = [.. Values.Select(value => Read(Write(value, from), from))];
        byte[] source = [.. new byte[offset * Size(from)], .. exact.SelectMany(value => Write(value, from))];
        using DeviceBuffer<byte> x = context.Memory.Upload<byte>(source);
        using DeviceBuffer<byte> y = context.Memory.Upload<byte>(new byte[(offset + Values.Length) * Size(to)]);
        Cast.Run(
            context.Stream, x.Pointer.Address + (ulong)(offset * Size(from)), from,
            y.Pointer.Address + (ulong)(offset * Size(to)), to, Values.Length);
        byte[] result = y.ToArray()[(offset * Size(to))..];
        for (int i = 0; i < exact.Length; i++)
        {
            Assert.Equal(
                BitConverter.SingleToUInt32Bits(Read(Write(exact[i], to), to)),
                BitConverter.SingleToUInt32Bits(Read(result.AsSpan(i * Size(to), Size(to)), to)));
        }
    }

    [Fact]
    public void IntegersAndNaN()
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        int[] numbers = [0, -1, 7, 16777217, int.MinValue, int.MaxValue];
        using DeviceBuffer<int> x = context.Memory.Upload<int>(numbers);
        using DeviceBuffer<float> y = context.Memory.Upload<float>([.. numbers.Select(_ => 1f), float.NaN]);
        using DeviceBuffer<ushort> half = context.Memory.Upload<ushort>(new ushort[7]);
        Cast.Run(context.Stream, x.Pointer.Address, CastType.I32, y.Pointer.Address, CastType.F32, numbers.Length);
        Cast.Run(context.Stream, y.Pointer.Address, CastType.F32, half.Pointer.Address, CastType.BF16, 7);
        Assert.Equal(numbers.Select(number => (float)number), y.ToArray()[..^1]);
        Assert.True(float.IsNaN(Read(MemoryMarshal.AsBytes(half.ToArray().AsSpan(6)), CastType.BF16)));
    }

    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 0)]
    [InlineData(true, 1)]
    public void AddsAcrossTypes(bool toHalf, int offset)
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        var inputs = new LabInputs(context, 3);
        float[] x = inputs.Values(101), start = inputs.Values(101);
        using DeviceArray from = new(context, x, !toHalf, offset), to = new(context, start, toHalf, offset);
        Elementwise.AddInto(context.Stream, from.Operand, to.Operand, x.Length);
        float[] expected = [.. start.Zip(x, (a, b) => a + b)];
        if (toHalf) DeviceArray.Round(expected);
        Assert.Equal(expected, to.ToArray());
    }

    [Fact]
    public void IntegersAreNoResult() => Assert.Equal(
        "[cast] the result must be F32 or BF16, or F16 without adding, but got I32",
        Assert.Throws<ArgumentException>(() => Cast.Run(null!, 0, CastType.F32, 0, CastType.I32, 1)).Message);

    private static int Size(CastType type) => type is CastType.F32 ? 4 : 2;

    private static byte[] Write(float value, CastType type) => type switch
    {
        CastType.F32 => BitConverter.GetBytes(value),
        CastType.F16 => BitConverter.GetBytes((Half)value),
        _ => BitConverter.GetBytes(Nearest(value)),
    };

    private static float Read(ReadOnlySpan<byte> bytes, CastType type) => type switch
    {
        CastType.F32 => BitConverter.ToSingle(bytes),
        CastType.F16 => (float)BitConverter.ToHalf(bytes),
        _ => BitConverter.UInt32BitsToSingle((uint)BitConverter.ToUInt16(bytes) << 16),
    };

    // The upper half of the word, plus one if the lower half is more than a half, or a half with an odd upper half.
    private static ushort Nearest(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}
