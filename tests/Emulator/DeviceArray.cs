using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Tests;

/// <summary>
/// f32 or bf16 values on the device, some elements past a multiple of 16 bytes, between guards that no kernel may
/// change.
/// </summary>
internal sealed unsafe class DeviceArray : IDisposable
{
    private const int Guards = 8;
    private const float Guard = 77;

    private readonly CudaContext context;
    private readonly int before;
    private readonly int count;
    private readonly DeviceBuffer<float>? single;
    private readonly DeviceBuffer<ushort>? half;

    /// <summary>Holds the values; in bf16 the caller's array is rounded too.</summary>
    public DeviceArray(CudaContext context, float[] values, bool bf16, int offset = 0)
    {
        (this.context, before, count) = (context, Guards + offset, values.Length);
        if (bf16) Round(values);
        float[] all = [.. Enumerable.Repeat(Guard, before), .. values, .. Enumerable.Repeat(Guard, Guards)];
        if (bf16) half = context.Memory.Upload<ushort>(Round(all));
        else single = context.Memory.Upload<float>(all);
    }

    /// <summary>Holds NaN, which shows when it is read.</summary>
    public DeviceArray(CudaContext context, int count, bool bf16, int offset = 0)
        : this(context, [.. Enumerable.Repeat(float.NaN, count)], bf16, offset)
    {
    }

    public bool Bf16 => half is not null;

    public ulong Address => Bf16
        ? half!.Pointer.Address + (2 * (ulong)before)
        : single!.Pointer.Address + (4 * (ulong)before);

    public Operand Operand => new(Address, Bf16);

    /// <summary>The values; fails if a guard was overwritten.</summary>
    public float[] ToArray()
    {
        float[] all = single?.ToArray() ?? Widen(half!.ToArray());
        Assert.All(all[..before], value => Assert.Equal(Guard, value));
        Assert.All(all[(before + count)..], value => Assert.Equal(Guard, value));
        return all[before..(before + count)];
    }

    /// <summary>Rounds to bf16 in place; returns the raw words.</summary>
    public static ushort[] Round(float[] values)
    {
        var words = new ushort[values.Length];
        fixed (float* from = values)
        fixed (ushort* to = words)
        {
            CastKernel.ToBFloat16(from, to, values.Length);
            CastKernel.FromBFloat16(to, from, values.Length);
        }
        return words;
    }

    private static float[] Widen(ushort[] words)
    {
        var values = new float[words.Length];
        fixed (ushort* from = words)
        fixed (float* to = values) CastKernel.FromBFloat16(from, to, words.Length);
        return values;
    }

    public void Dispose()
    {
        context.Stream.Synchronize();
        single?.Dispose();
        half?.Dispose();
    }
}
