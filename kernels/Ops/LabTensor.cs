using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>A device buffer of f32 or bf16 that reads back as floats.</summary>
internal sealed class LabTensor : IDisposable
{
    private readonly DeviceBuffer<float>? single;
    private readonly DeviceBuffer<ushort>? half;

    /// <summary>Holds the values; in bf16 the caller's array is rounded too.</summary>
    public LabTensor(LabInputs inputs, float[] values, bool bf16)
    {
        if (bf16) half = inputs.DeviceBf16(values);
        else single = inputs.Device(values);
    }

    /// <summary>Holds nothing defined yet.</summary>
    public LabTensor(LabInputs inputs, long count, bool bf16)
    {
        if (bf16) half = inputs.Empty<ushort>(count);
        else single = inputs.Empty<float>(count);
    }

    public ulong Address => half?.Pointer.Address ?? single!.Pointer.Address;

    public float[] ToArray() => half is null ? single!.ToArray() : LabInputs.Widen(half);

    public void Dispose()
    {
        single?.Dispose();
        half?.Dispose();
    }
}
