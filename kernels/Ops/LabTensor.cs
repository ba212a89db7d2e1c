using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// A device buffer of f32 or bf16 that reads back as floats. It starts <see cref="LabInputs.Shift"/> elements into its
/// memory.
/// </summary>
internal sealed class LabTensor : IDisposable
{
    private readonly DeviceBuffer<float>? single;
    private readonly DeviceBuffer<ushort>? half;
    private readonly int shift;

    /// <summary>Holds the values; in bf16 the caller's array is rounded too.</summary>
    public LabTensor(LabInputs inputs, float[] values, bool bf16)
    {
        shift = inputs.Shift;
        float[] padded = shift == 0 ? values : [.. new float[shift], .. values];
        if (bf16) half = inputs.DeviceBf16(padded);
        else single = inputs.Device(padded);
        padded.AsSpan(shift).CopyTo(values);
    }

    /// <summary>Holds nothing defined yet; zeros when it is shifted.</summary>
    public LabTensor(LabInputs inputs, long count, bool bf16)
    {
        shift = inputs.Shift;
        if (bf16) half = inputs.Empty<ushort>(count + shift);
        else single = inputs.Empty<float>(count + shift);
        if (shift == 0) return;
        half?.Zero();
        single?.Zero();
    }

    /// <summary>The first element.</summary>
    public ulong Address => half is null ? Single.Address : (half.Pointer + shift).Address;

    /// <summary>The first element of an f32 tensor.</summary>
    public DevicePointer<float> Single => single!.Pointer + shift;

    public float[] ToArray() => (half is null ? single!.ToArray() : LabInputs.Widen(half))[shift..];

    public void Dispose()
    {
        single?.Dispose();
        half?.Dispose();
    }
}
