using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>The two moments of one parameter as 8-bit codes with a scale per 256: 2.03 bytes a value, not 8.</summary>
internal sealed unsafe class EightBitMoments
{
    /// <summary>Parameters with fewer values keep F32 moments, as in bitsandbytes.</summary>
    public const int SmallestCount = 4096;

    private readonly Tensor[] parts;

    public EightBitMoments(Tensor value)
    {
        if (value.Device.Kind != DeviceKind.Cpu)
            throw new NotSupportedException("[adamw] 8-bit moments run on the CPU only");
        var blocks = QuantizedTensor.BlocksOf(value.Count, AdamW8BitKernel.BlockSize);
        parts =
        [
            QuantizedTensor.Owned(value.Count, DType.U8), QuantizedTensor.Owned(blocks, DType.F32),
            QuantizedTensor.Owned(value.Count, DType.U8), QuantizedTensor.Owned(blocks, DType.F32),
        ];
        foreach (var part in parts)
            part.Clear();
    }

    public void Step(Tensor value, Tensor gradient, in AdamWStep step) => AdamW8BitKernel.Step(
        value.Pointer<float>(), gradient.Pointer<float>(), parts[0].Pointer<byte>(), parts[1].Pointer<float>(),
        parts[2].Pointer<byte>(), parts[3].Pointer<float>(), value.Count, step);

    /// <summary>The codes and scales themselves, named.</summary>
    public IEnumerable<(string Name, Tensor Value)> State(string path) =>
    [
        ($"{path}.exp_avg", parts[0]), ($"{path}.exp_avg.absmax", parts[1]),
        ($"{path}.exp_avg_sq", parts[2]), ($"{path}.exp_avg_sq.absmax", parts[3]),
    ];
}
