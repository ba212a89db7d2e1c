namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>
    /// y = x W0ᵀ + b + s (drop(x) Aᵀ) Bᵀ with a frozen 4-bit W0: QLoRA (Dettmers et al. 2023, arXiv 2305.14314). Only
    /// what dA and dB need is kept for backward.
    /// </summary>
    /// <param name="x">Input (..., in), F32; on CUDA also BF16, see <see cref="LoraStrategy"/>.</param>
    /// <param name="weight">W0 (out, in).</param>
    /// <param name="bias">b (out), or null.</param>
    /// <param name="a">A (r, in), F32.</param>
    /// <param name="b">B (out, r), F32.</param>
    /// <param name="scale">s = alpha / r, or alpha / √r.</param>
    /// <param name="dropout">Mask on the adapter's input; the base path sees x whole.</param>
    /// <returns>(..., out).</returns>
    public static Tensor LoraLinear(
        this Tensor x, QuantizedTensor weight, Tensor? bias, Tensor a, Tensor b, float scale,
        DropoutMask dropout = default)
    {
        QuantizedLinearOp.Check("lora_linear", x, weight, bias);
        LoraLinearOp.CheckAdapter(a, b, weight.Shape);
        return new QuantizedLoraLinearOp(x, weight, bias, a, b, scale, dropout)
            .Run(x.Shape.With(^1, weight.Shape[0]));
    }
}

internal sealed class QuantizedLoraLinearOp : LoraLinearOp
{
    private readonly QuantizedTensor codes; // (out, in)

    public QuantizedLoraLinearOp(
        Tensor x, QuantizedTensor weight, Tensor? bias, Tensor a, Tensor b, float scale, DropoutMask dropout,
        LoraDownOp? down = null, Tensor? shared = null, int slot = 0)
        : base(x, null, bias, a, b, scale, dropout, down, shared, slot) => codes = weight;

    private protected override QuantizedTensor? Codes => codes;

    private protected override void ForwardBase(Tensor y) => QuantizedLinearOp.Forward(x, codes, bias, y);

    private protected override void BackwardBase(Tensor dy) => QuantizedLinearOp.Backward(x, codes, bias, dy);

    private protected override bool TryDecode(Tensor y) => QuantizedDecoding.TryRun(x, codes, bias, a, b, scale, y);

    private protected override CudaProduct.Factor BaseAs(DType dtype) => QuantizedLinearOp.Decoded(codes, dtype);

    // Straight into the padded buffer.
    private protected override void PadBase(ulong to, int pitch) => codes.DequantizeTo(to, pitch, DType.BF16);
}
