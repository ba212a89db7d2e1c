using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>w x / √(mean(x²) + eps) over the last dimension (Zhang and Sennrich 2019, arXiv 1910.07467).</summary>
    /// <param name="x">(..., n), F32.</param>
    /// <param name="weight">(n), F32; gets no gradient work when frozen.</param>
    /// <param name="eps">Added to the mean square.</param>
    public static Tensor RmsNorm(this Tensor x, Tensor weight, float eps)
    {
        NormShapes.Check("rms_norm", x, weight, null);
        return new RmsNormOp(x, weight, eps).Run(x.Shape);
    }
}

internal sealed unsafe class RmsNormOp : Op
{
    private readonly Tensor x;
    private readonly Tensor weight;
    private readonly float eps;

    public RmsNormOp(Tensor x, Tensor weight, float eps)
        : base("rms_norm", x, weight)
    {
        (this.x, this.weight, this.eps) = (x, weight, eps);
        Save(x);
        Save(weight);
    }

    protected override void ForwardCpu(Tensor y)
    {
        var rstd = Tracking ? RentScratch<float>(x.Shape.Rows) : null;
        RmsNormKernel.Forward(
            x.Pointer<float>(), weight.Pointer<float>(), eps, y.Pointer<float>(), rstd, x.Shape.Rows, x.Shape.Columns);
    }

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var (addX, addW) = (false, false);
        var dx = NeedsGrad(x) ? GradOf(x, out addX).Pointer<float>() : null;
        var dw = NeedsGrad(weight) ? GradOf(weight, out addW).Pointer<float>() : null;
        RmsNormKernel.Backward(
            x.Pointer<float>(), weight.Pointer<float>(), Scratch<float>(), dy.Pointer<float>(), x.Shape.Rows,
            x.Shape.Columns, dx, addX, dw, addW);
    }
}
