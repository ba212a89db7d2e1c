using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Ops;

/// <summary>Random inputs of a lab run, on the host and on the device, the same for the same seed.</summary>
public sealed unsafe class LabInputs(CudaContext context, int seed, int shift = 0)
{
    // Numbers for trying kernels, not secrets.
#pragma warning disable CA5394
    private readonly Random random = new(seed);

    /// <summary>Elements by which every tensor of a lab starts past a 16-byte boundary.</summary>
    public int Shift => shift;

    /// <summary>The same context with another shift.</summary>
    public LabInputs Shifted(int elements) => new(context, seed, elements);

    /// <summary>Roughly normal values: the sum of four uniform draws, variance 1/3.</summary>
    public float[] Values(int count)
    {
        var values = new float[count];
        for (int i = 0; i < count; i++)
        {
            values[i] = random.NextSingle() + random.NextSingle() - random.NextSingle() - random.NextSingle();
        }
        return values;
    }
#pragma warning restore CA5394

    /// <summary>The values on the device.</summary>
    public DeviceBuffer<float> Device(float[] values) => context.Memory.Upload<float>(values);

    /// <summary>Values of any kind on the device.</summary>
    public DeviceBuffer<T> Upload<T>(T[] values) where T : unmanaged => context.Memory.Upload<T>(values);

    /// <summary>
    /// The values rounded to bf16 on the device; the host's copy is rounded too, so that the oracle sees the same.
    /// </summary>
    public DeviceBuffer<ushort> DeviceBf16(float[] values)
    {
        var rounded = new ushort[values.Length];
        fixed (float* from = values)
        fixed (ushort* to = rounded)
        {
            CastKernel.ToBFloat16(from, to, values.Length);
            CastKernel.FromBFloat16(to, from, values.Length);
        }
        return context.Memory.Upload<ushort>(rounded);
    }

    /// <summary>bf16 values of the device as floats.</summary>
    public static float[] Widen(DeviceBuffer<ushort> buffer)
    {
        ushort[] halves = buffer.ToArray();
        var values = new float[halves.Length];
        fixed (ushort* from = halves)
        fixed (float* to = values) CastKernel.FromBFloat16(from, to, halves.Length);
        return values;
    }

    /// <summary>A device buffer whose content is undefined.</summary>
    public DeviceBuffer<T> Empty<T>(long count) where T : unmanaged => context.Memory.Allocate<T>(count);
}
