using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>
/// The two moments of one parameter: F32, or 8-bit codes with a scale per 256, which are 2.03 bytes a value and not 8.
/// </summary>
internal sealed unsafe class Moments : IDisposable
{
    private const int SmallestCount = 4096;

    private readonly string path;
    private readonly (string Suffix, Shape Shape, DType DType)[] layout;
    private readonly Tensor[] parts;

    /// <summary>Describes the moments; <see cref="Place(Device)"/> gives them memory.</summary>
    /// <param name="parameter">What they are of.</param>
    /// <param name="eightBit">
    /// Codes, unless the parameter has fewer than 4096 values: those keep F32 moments, as in bitsandbytes.
    /// </param>
    public Moments(Parameter parameter, bool eightBit)
    {
        path = parameter.Path.Value;
        var shape = parameter.Value.Shape;
        EightBit = eightBit && shape.Count >= SmallestCount;
        if (EightBit)
        {
            var codes = Shape.Of(checked((int)shape.Count));
            var scales = Shape.Of((int)QuantizedTensor.BlocksOf(shape.Count, AdamW8BitKernel.BlockSize));
            layout =
            [
                ("exp_avg", codes, DType.U8), ("exp_avg.absmax", scales, DType.F32),
                ("exp_avg_sq", codes, DType.U8), ("exp_avg_sq.absmax", scales, DType.F32),
            ];
        }
        else
        {
            layout = [("exp_avg", shape, DType.F32), ("exp_avg_sq", shape, DType.F32)];
        }
        parts = new Tensor[layout.Length];
    }

    /// <summary>Codes, not F32.</summary>
    public bool EightBit { get; }

    /// <summary>Number of arrays: first moment, its scales if it is codes, second moment, its scales.</summary>
    public int PartCount => layout.Length;

    /// <summary>
    /// Bytes of a part for the first <paramref name="values"/> values; whole blocks of 256 but at the end.
    /// </summary>
    public long PartBytes(int part, long values) => layout[part].DType == DType.U8
        ? values
        : sizeof(float) * (EightBit ? QuantizedTensor.BlocksOf(values, AdamW8BitKernel.BlockSize) : values);

    /// <summary>Zero moments on a device.</summary>
    public void Place(Device home)
    {
        // Not of any scope: moments live as long as the optimiser.
        for (var i = 0; i < parts.Length; i++)
        {
            parts[i] = Tensor.Unscoped(layout[i].Shape, layout[i].DType, home);
            parts[i].Clear();
        }
    }

    /// <summary>Zero moments within a block of memory; a place for every part.</summary>
    public void Place(Storage block, ReadOnlySpan<long> offsets)
    {
        for (var i = 0; i < parts.Length; i++)
        {
            parts[i] = Tensor.Within(block, offsets[i], layout[i].Shape, layout[i].DType);
            parts[i].Clear();
        }
    }

    /// <summary>The update on the CPU.</summary>
    public void Step(Tensor value, Tensor gradient, in AdamWStep step)
    {
        float* p = value.Pointer<float>(), g = gradient.Pointer<float>();
        if (EightBit)
        {
            AdamW8BitKernel.Step(
                p, g, parts[0].Pointer<byte>(), parts[1].Pointer<float>(), parts[2].Pointer<byte>(),
                parts[3].Pointer<float>(), value.Count, step);
        }
        else
        {
            AdamWKernel.Step(p, g, parts[0].Pointer<float>(), parts[1].Pointer<float>(), value.Count, step);
        }
    }

    /// <summary>The tensors themselves, named.</summary>
    public IEnumerable<(string Name, Tensor Value)> State() =>
        layout.Select((part, i) => ($"{path}.{part.Suffix}", parts[i]));

    public void Dispose()
    {
        foreach (var part in parts)
            part?.Dispose();
    }
}
