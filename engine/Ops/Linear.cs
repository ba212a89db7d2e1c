using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>y = x Wᵀ + b.</summary>
    /// <param name="x">Input (..., in), F32; on CUDA also BF16, which the product then is.</param>
    /// <param name="weight">Weights (out, in), F32; on CUDA also BF16.</param>
    /// <param name="bias">Bias (out), F32, or null.</param>
    /// <returns>(..., out).</returns>
    public static Tensor Linear(this Tensor x, Tensor weight, Tensor? bias = null)
    {
        LinearOp.Check("linear", x, weight, bias);
        return new LinearOp(x, weight, bias).Run(x.Shape.With(^1, weight.Shape[0]));
    }
}

internal sealed unsafe class LinearOp : Op
{
    private readonly Tensor x; // (M, K)
    private readonly Tensor weight; // (N, K)
    private readonly Tensor? bias; // (N)

    public LinearOp(Tensor x, Tensor weight, Tensor? bias)
        : base("linear", x, weight, bias)
    {
        (this.x, this.weight, this.bias) = (x, weight, bias);
        if (NeedsGrad(weight))
            Save(x);
        if (NeedsGrad(x))
            Save(weight);
    }

    public static void Check(string op, Tensor x, Tensor weight, Tensor? bias)
    {
        Tensor.RequireFloat(op, x);
        Tensor.RequireFloat(op, weight);
        if (weight.Shape.Rank != 2 || x.Shape.Rank < 1 || x.Shape[^1] != weight.Shape[1])
            throw new ArgumentException(
                $"[{op}] last dimension of x must equal the weight's second, but got x {x.Shape}, weight {weight.Shape}");
        if (bias is not null && (bias.Shape.Rank != 1 || bias.Shape[0] != weight.Shape[0]))
            throw new ArgumentException(
                $"[{op}] bias must hold one value per output, but got bias {bias.Shape}, weight {weight.Shape}");
    }

    /// <summary>y = x Wᵀ + b on raw CPU memory.</summary>
    public static void Forward(Tensor x, Tensor weight, Tensor? bias, Tensor y)
    {
        var (m, n, k) = (y.Shape.Rows, weight.Shape[0], weight.Shape[1]);
        var to = y.Pointer<float>();
        if (bias is not null)
        {
            for (var row = 0; row < m; row++)
                bias.Span<float>().CopyTo(new Span<float>(to + ((long)row * n), n));
        }
        Gemm.Run(
            false, true, m, n, k, 1, x.Pointer<float>(), k, weight.Pointer<float>(), k, bias is null ? 0 : 1, to, n);
    }

    /// <summary>Gradients of x, W and b that are wanted.</summary>
    public static void Backward(Tensor x, Tensor weight, Tensor? bias, Tensor dy)
    {
        var (m, n, k) = (dy.Shape.Rows, weight.Shape[0], weight.Shape[1]);
        var d = dy.Pointer<float>();
        if (NeedsGrad(x))
        {
            var g = GradOf(x, out var add);
            Gemm.Run(false, false, m, k, n, 1, d, n, weight.Pointer<float>(), k, add ? 1 : 0, g.Pointer<float>(), k);
        }
        if (NeedsGrad(weight))
        {
            var g = GradOf(weight, out var add);
            Gemm.Run(true, false, n, k, m, 1, d, n, x.Pointer<float>(), k, add ? 1 : 0, g.Pointer<float>(), k);
        }
        if (NeedsGrad(bias))
        {
            var g = GradOf(bias!, out var add);
            SumKernel.Axis(d, 1, m, n, 1, g.Pointer<float>(), add);
        }
    }

    /// <summary>Gradients of W and b that are wanted, on a CUDA device.</summary>
    public static void WeightGradCuda(Tensor x, Tensor? weight, Tensor? bias, Tensor dy)
    {
        if (NeedsGrad(weight))
        {
            var g = GradOf(weight!, out var add);
            CudaProduct.Run(
                dy.DType, true, false, weight!.Shape[0], weight.Shape[1], dy.Shape.Rows, 1, dy.DeviceAddress,
                x.DeviceAddress, g, add);
        }
        if (NeedsGrad(bias))
        {
            var g = GradOf(bias!, out var add);
            CudaProduct.SumRows(dy, g, add);
        }
    }

    protected override void ForwardCpu(Tensor y) => Forward(x, weight, bias, y);

    protected override void ForwardCuda(Tensor y)
    {
        if (!LoraDecoding.TryRun(x, weight, bias, null, null, 0, y))
            CudaProduct.Forward(x, CudaProduct.Rows(x.DType, weight), bias, y);
    }

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        if (NeedsGrad(x))
            CudaProduct.InputGrad(dy, CudaProduct.Rows(dy.DType, weight), GradOf(x, out var add), add);
        WeightGradCuda(x, weight, bias, dy);
    }

    protected override void BackwardCpu(Tensor y, Tensor dy) => Backward(x, weight, bias, dy);
}
