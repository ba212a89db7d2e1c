using CudaLora.Kernels.Runtime;
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
    private (Tensor Left, Tensor Right)? terms;

    /// <param name="x">What is normalised.</param>
    /// <param name="weight">Factors.</param>
    /// <param name="eps">Added to the mean square.</param>
    /// <param name="terms">On CUDA, two tensors whose sum the kernel first writes into x.</param>
    public RmsNormOp(Tensor x, Tensor weight, float eps, (Tensor Left, Tensor Right)? terms = null)
        : base("rms_norm", x, weight)
    {
        (this.x, this.weight, this.eps, this.terms) = (x, weight, eps, terms);
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

    protected override void ForwardCuda(Tensor y)
    {
        var (rows, cols, bf16) = (x.Shape.Rows, x.Shape.Columns, x.DType == DType.BF16);
        var rstd = Tracking ? RentDevice<float>(rows) : default;
        if (terms is var (left, right))
            Kernels.Ops.RmsNorm.Residual(
                Stream(y),
                new(
                    left.DeviceAddress, right.DeviceAddress, weight.OnDevice<float>(), x.DeviceAddress, y.DeviceAddress,
                    rstd, rows, cols, eps),
                bf16);
        else
            Kernels.Ops.RmsNorm.Forward(
                Stream(y), new(x.DeviceAddress, weight.OnDevice<float>(), y.DeviceAddress, rstd, rows, cols, eps),
                bf16);
        terms = null;
    }

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var (rows, cols, bf16) = (x.Shape.Rows, x.Shape.Columns, x.DType == DType.BF16);
        if (NeedsGrad(weight))
        {
            var g = GradOf(weight, out var addW);
            var perChunk = Kernels.Ops.RmsNorm.RowsPerChunk(rows, cols);
            var chunks = (rows + perChunk - 1) / perChunk;
            var partial = x.Device.Rent((long)chunks * cols * sizeof(float));
            var sums = new DevicePointer<float>(partial.DeviceAddress);
            Kernels.Ops.RmsNorm.Weight(
                Stream(dy), new(x.DeviceAddress, dy.DeviceAddress, ScratchDevice<float>(), sums, rows, cols, perChunk),
                bf16);
            Kernels.Ops.RmsNorm.WeightSum(Stream(dy), new(sums, g.OnDevice<float>(), chunks, cols, addW ? 1 : 0));
            partial.Release();
        }
        if (!NeedsGrad(x))
            return;
        var dx = GradOf(x, out var addX);
        Kernels.Ops.RmsNorm.Backward(
            Stream(dy),
            new(
                x.DeviceAddress, weight.OnDevice<float>(), dy.DeviceAddress, ScratchDevice<float>(),
                addX ? dx.DeviceAddress : 0, dx.DeviceAddress, rows, cols),
            bf16);
    }
}
