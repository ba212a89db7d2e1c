using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>
    /// The residual stream and its norm: h = x + residual and <see cref="RmsNorm"/> of h. On CUDA one kernel writes
    /// both; backward adds the norm's gradient to that of h in one pass.
    /// </summary>
    /// <param name="x">(..., n), F32, on CUDA also BF16.</param>
    /// <param name="residual">The same shape and type.</param>
    /// <param name="weight">(n), F32; gets no gradient work when frozen.</param>
    /// <param name="eps">Added to the mean square.</param>
    public static (Tensor Sum, Tensor Norm) AddRmsNorm(this Tensor x, Tensor residual, Tensor weight, float eps)
    {
        NormShapes.Check("add_rms_norm", x, weight, null);
        if (residual.Shape != x.Shape || residual.DType != x.DType)
            throw new ArgumentException(
                "[add_rms_norm] residual must be like x, "
                + $"but got x {x.DType} {x.Shape}, residual {residual.DType} {residual.Shape}");
        var sum = new ResidualSumOp(x, residual).Run(x.Shape);
        return (sum, new RmsNormOp(sum, weight, eps, (x, residual)).Run(x.Shape));
    }
}

/// <summary>a + b; on CUDA the norm that follows writes it.</summary>
internal sealed unsafe class ResidualSumOp(Tensor a, Tensor b) : Op("residual_sum", a, b)
{
    protected override void ForwardCpu(Tensor y) =>
        BinaryKernel.Add(
            BroadcastPlan.Create(y.Shape.Dims, a.Shape.Dims, b.Shape.Dims), a.Pointer<float>(), b.Pointer<float>(),
            y.Pointer<float>());

    protected override void ForwardCuda(Tensor y)
    {
    }

    protected override void BackwardCpu(Tensor y, Tensor dy) => Pass(dy);

    protected override void BackwardCuda(Tensor y, Tensor dy) => Pass(dy);

    private void Pass(Tensor dy)
    {
        PassGrad(a, dy);
        PassGrad(b, dy);
    }
}
