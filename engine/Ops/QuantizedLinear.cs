using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>
    /// y = x Wᵀ + b with a frozen 4-bit W. Neither x nor the values of W are kept for backward: dX is a product with
    /// the codes again.
    /// </summary>
    /// <param name="x">Input (..., in), F32; on CUDA also BF16, which the product then is.</param>
    /// <param name="weight">W (out, in).</param>
    /// <param name="bias">b (out), or null.</param>
    /// <returns>(..., out).</returns>
    public static Tensor QuantizedLinear(this Tensor x, QuantizedTensor weight, Tensor? bias = null)
    {
        QuantizedLinearOp.Check("quantized_linear", x, weight, bias);
        return new QuantizedLinearOp(x, weight, bias).Run(x.Shape.With(^1, weight.Shape[0]));
    }
}

internal sealed unsafe class QuantizedLinearOp : Op
{
    private readonly Tensor x; // (M, K)
    private readonly QuantizedTensor weight; // (N, K)
    private readonly Tensor? bias; // (N)

    public QuantizedLinearOp(Tensor x, QuantizedTensor weight, Tensor? bias)
        : base("quantized_linear", x, bias) => (this.x, this.weight, this.bias) = (x, weight, bias);

    public static void Check(string op, Tensor x, QuantizedTensor weight, Tensor? bias)
    {
        Tensor.RequireFloat(op, x);
        if (x.Shape.Rank < 1 || x.Shape[^1] != weight.Shape[1])
            throw new ArgumentException(
                $"[{op}] last dimension of x must equal the weight's second, but got x {x.Shape}, weight {weight.Shape}");
        if (bias is not null && (bias.Shape.Rank != 1 || bias.Shape[0] != weight.Shape[0]))
            throw new ArgumentException(
                $"[{op}] bias must hold one value per output, but got bias {bias.Shape}, weight {weight.Shape}");
        if (weight.Device != x.Device)
            throw new ArgumentException(
                $"[{op}] inputs must be on one device, but got {x.Device.Name} and {weight.Device.Name}");
    }

    /// <summary>y = x Wᵀ + b on raw CPU memory.</summary>
    public static void Forward(Tensor x, QuantizedTensor weight, Tensor? bias, Tensor y)
    {
        var (m, n, k) = (y.Shape.Rows, weight.Shape[0], weight.Shape[1]);
        var to = y.Pointer<float>();
        if (bias is not null)
        {
            for (var row = 0; row < m; row++)
                bias.Span<float>().CopyTo(new Span<float>(to + ((long)row * n), n));
        }
        QuantizedGemm.Forward(weight.View, m, n, k, x.Pointer<float>(), bias is null ? 0 : 1, to);
    }

    /// <summary>Gradients of x and b that are wanted.</summary>
    public static void Backward(Tensor x, QuantizedTensor weight, Tensor? bias, Tensor dy)
    {
        var (m, n, k) = (dy.Shape.Rows, weight.Shape[0], weight.Shape[1]);
        var d = dy.Pointer<float>();
        if (NeedsGrad(x))
        {
            var g = GradOf(x, out var add);
            QuantizedGemm.BackwardInput(weight.View, m, n, k, d, add ? 1 : 0, g.Pointer<float>());
        }
        if (NeedsGrad(bias))
        {
            var g = GradOf(bias!, out var add);
            SumKernel.Axis(d, 1, m, n, 1, g.Pointer<float>(), add);
        }
    }

    // y = x Wᵀ + b on a CUDA device: by the codes, or W is decoded for the product and let go.
    private static void ForwardCuda(LoraStrategy strategy, Tensor x, QuantizedTensor weight, Tensor? bias, Tensor y)
    {
        if (strategy == LoraStrategy.FusedNf4)
        {
            QuantizedProduct.Forward(x, weight, bias, 0, 0, null, 0, y);
            return;
        }
        CudaProduct.Forward(x, Decoded(weight, x.DType), bias, y);
    }

    /// <summary>g (+)= dY W, the gradient of x, on a CUDA device, the way that is the fastest there.</summary>
    public static void InputGradCuda(QuantizedTensor weight, Tensor dy, Tensor g, bool add)
    {
        var product = new LoraProduct(true, dy.Shape.Rows, weight.Shape[1], weight.Shape[0], 0, false, FourBit: true);
        InputGradCuda(StrategyOf(product, dy, weight, null, g), weight, dy, g, add);
    }

    private static void InputGradCuda(LoraStrategy strategy, QuantizedTensor weight, Tensor dy, Tensor g, bool add)
    {
        if (strategy == LoraStrategy.FusedNf4)
        {
            QuantizedProduct.InputGrad(dy, weight, 0, 0, 0, 0, g, add);
            return;
        }
        CudaProduct.InputGrad(dy, Decoded(weight, dy.DType), g, add);
    }

    /// <summary>
    /// The values of W in a type, dense, to be released: pooled memory that every layer takes in turn.
    /// </summary>
    public static CudaProduct.Factor Decoded(QuantizedTensor weight, DType dtype)
    {
        var values = weight.Device.Rent(weight.Count * dtype.Size());
        weight.DequantizeTo(values.DeviceAddress, weight.Shape[1], dtype);
        return new CudaProduct.Factor(values.DeviceAddress, weight.Shape[1], values);
    }

    protected override void ForwardCuda(Tensor y)
    {
        if (y.Count == 0 || QuantizedDecoding.TryRun(x, weight, bias, null, null, 0, y))
            return;
        var product = new LoraProduct(
            false, y.Shape.Rows, weight.Shape[0], weight.Shape[1], 0, bias is not null, FourBit: true);
        ForwardCuda(StrategyOf(product, x, weight, bias, y), x, weight, bias, y);
    }

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        if (NeedsGrad(x) && dy.Count > 0)
        {
            var g = GradOf(x, out var add);
            InputGradCuda(weight, dy, g, add);
        }
        LinearOp.WeightGradCuda(x, null, bias, dy);
    }

    // of: x forward, dY backward.
    private static LoraStrategy StrategyOf(
        LoraProduct product, Tensor of, QuantizedTensor weight, Tensor? bias, Tensor to)
    {
        if (!QuantizedProduct.Suits(of.DType, product.M, bias))
            return LoraStrategy.Composed;
        return CudaProduct.Of(to).TryGetStrategy(product, out var strategy)
            ? strategy
            : Timed(product, of, weight, bias, to);
    }

    private static LoraStrategy Timed(
        LoraProduct product, Tensor of, QuantizedTensor weight, Tensor? bias, Tensor to)
    {
        using var trial = Tensor.Owned(to.Shape, to.DType, to.Device);
        return CudaProduct.Of(to).LoraChoices.Choose(
            product, [LoraStrategy.Composed, LoraStrategy.FusedNf4], strategy =>
            {
                if (product.Backward)
                    InputGradCuda(strategy, weight, of, trial, false);
                else
                    ForwardCuda(strategy, of, weight, bias, trial);
            });
    }

    protected override void ForwardCpu(Tensor y) => Forward(x, weight, bias, y);

    protected override void BackwardCpu(Tensor y, Tensor dy) => Backward(x, weight, bias, dy);
}
