using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>
    /// w (x - mean) / √(variance + eps) + b over the last dimension (Ba et al. 2016, arXiv 1607.06450).
    /// </summary>
    /// <param name="x">(..., n), F32.</param>
    /// <param name="weight">(n), F32.</param>
    /// <param name="bias">(n), F32, or null.</param>
    /// <param name="eps">Added to the (biased) variance.</param>
    public static Tensor LayerNorm(this Tensor x, Tensor weight, Tensor? bias, float eps)
    {
        NormShapes.Check("layer_norm", x, weight, bias);
        return new LayerNormOp(x, weight, bias, eps).Run(x.Shape);
    }
}

internal static class NormShapes
{
    public static void Check(string op, Tensor x, Tensor weight, Tensor? bias)
    {
        Tensor.RequireFloat(op, x);
        Tensor.RequireF32(op, weight);
        if (weight.Shape.Rank != 1 || x.Shape.Rank < 1 || weight.Shape[0] != x.Shape[^1])
            throw new ArgumentException(
                $"[{op}] weight must have the last dimension of x, but got x {x.Shape}, weight {weight.Shape}");
        if (bias is not null && bias.Shape != weight.Shape)
            throw new ArgumentException(
                $"[{op}] bias must have the weight's shape, but got bias {bias.Shape}, weight {weight.Shape}");
    }
}

internal sealed unsafe class LayerNormOp : Op
{
    private readonly Tensor x;
    private readonly Tensor weight;
    private readonly Tensor? bias;
    private readonly float eps;

    public LayerNormOp(Tensor x, Tensor weight, Tensor? bias, float eps)
        : base("layer_norm", x, weight, bias)
    {
        (this.x, this.weight, this.bias, this.eps) = (x, weight, bias, eps);
        Save(x);
        Save(weight);
    }

    protected override void ForwardCpu(Tensor y)
    {
        var statistics = RentScratch<float>(2L * x.Shape.Rows); // mean, then rstd
        LayerNormKernel.Forward(
            x.Pointer<float>(), weight.Pointer<float>(), bias is null ? null : bias.Pointer<float>(), eps,
            y.Pointer<float>(), statistics, statistics + x.Shape.Rows, x.Shape.Rows, x.Shape.Columns);
    }

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var (addX, addW, addB) = (false, false, false);
        var dx = NeedsGrad(x) ? GradOf(x, out addX).Pointer<float>() : null;
        var dw = NeedsGrad(weight) ? GradOf(weight, out addW).Pointer<float>() : null;
        var db = NeedsGrad(bias) ? GradOf(bias!, out addB).Pointer<float>() : null;
        var statistics = Scratch<float>();
        LayerNormKernel.Backward(
            x.Pointer<float>(), weight.Pointer<float>(), statistics, statistics + x.Shape.Rows, dy.Pointer<float>(),
            x.Shape.Rows, x.Shape.Columns, dx, addX, dw, addW, db, addB);
    }

    protected override void ForwardCuda(Tensor y)
    {
        var (rows, cols) = (x.Shape.Rows, x.Shape.Columns);
        var mean = RentDevice<float>(2L * rows);
        Kernels.Ops.LayerNorm.Forward(
            Stream(y),
            new(
                x.DeviceAddress, weight.OnDevice<float>(), bias is null ? default : bias.OnDevice<float>(),
                y.DeviceAddress, mean, mean + rows, rows, cols, eps),
            x.DType == DType.BF16);
    }

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var (rows, cols, bf16) = (x.Shape.Rows, x.Shape.Columns, x.DType == DType.BF16);
        var mean = ScratchDevice<float>();
        if (NeedsGrad(weight) || NeedsGrad(bias))
        {
            var perChunk = Kernels.Ops.RmsNorm.RowsPerChunk(rows, cols);
            var chunks = (rows + perChunk - 1) / perChunk;
            var partial = x.Device.Rent(2L * chunks * cols * sizeof(float));
            var sums = new DevicePointer<float>(partial.DeviceAddress);
            Kernels.Ops.LayerNorm.Weight(
                Stream(dy),
                new(
                    x.DeviceAddress, dy.DeviceAddress, mean, mean + rows, sums, sums + ((long)chunks * cols), rows,
                    cols, perChunk),
                bf16);
            Sum(weight, sums, chunks);
            Sum(bias, sums + ((long)chunks * cols), chunks);
            partial.Release();
        }
        if (!NeedsGrad(x))
            return;
        var dx = GradOf(x, out var add);
        Kernels.Ops.LayerNorm.Backward(
            Stream(dy),
            new(
                x.DeviceAddress, weight.OnDevice<float>(), dy.DeviceAddress, mean, mean + rows, dx.DeviceAddress, rows,
                cols, add ? 1 : 0),
            bf16);
    }

    private static void Sum(Tensor? parameter, DevicePointer<float> sums, int chunks)
    {
        if (!NeedsGrad(parameter))
            return;
        var g = GradOf(parameter!, out var add);
        Kernels.Ops.RmsNorm.WeightSum(
            Stream(g), new(sums, g.OnDevice<float>(), chunks, parameter!.Shape[0], add ? 1 : 0));
    }
}
