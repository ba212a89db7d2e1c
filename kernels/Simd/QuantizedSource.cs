namespace CudaLora.Kernels.Simd;

/// <summary>A 4-bit matrix as the operand of a product: packing decodes it, it is never expanded as a whole.</summary>
internal readonly unsafe struct QuantizedSource(QuantizedView view, nint stride, nint start = 0)
    : IPanelSource<QuantizedSource>
{
    public float* Direct => null;

    public nint Stride => stride;

    public void Decode(nint row, nint column, int count, float* target)
        => view.Decode(start + (row * stride) + column, count, target);

    public QuantizedSource Offset(nint elements) => new(view, stride, start + elements);
}
