using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>Maximum over one axis, which disappears; the gradient goes to its first occurrence. F32.</summary>
    public static Tensor Max(this Tensor x, Index axis)
    {
        Tensor.RequireFloat("max", x);
        var split = AxisSplit.Of("max", x, axis.GetOffset(x.Shape.Rank));
        return new MaxOp(x, split).Run(split.Reduced(x.Shape));
    }

    /// <summary>Index of the first maximum over one axis, I32; no gradient.</summary>
    public static unsafe Tensor ArgMax(this Tensor x, Index axis)
    {
        Tensor.RequireFloat("arg_max", x);
        var split = AxisSplit.Of("arg_max", x, axis.GetOffset(x.Shape.Rank));
        var at = Tensor.Empty(split.Reduced(x.Shape), DType.I32, x.Device);
        MaxKernel.Axis(x.Pointer<float>(), split.Outer, split.Extent, split.Inner, null, at.Pointer<int>());
        return at;
    }
}

internal sealed unsafe class MaxOp(Tensor x, AxisSplit split) : Op("max", x)
{
    protected override void ForwardCpu(Tensor y) =>
        MaxKernel.Axis(
            x.Pointer<float>(), split.Outer, split.Extent, split.Inner, y.Pointer<float>(),
            Tracking ? RentScratch<int>(y.Count) : null);

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        MaxKernel.AxisBackward(
            dy.Pointer<float>(), Scratch<int>(), split.Outer, split.Extent, split.Inner, g.Pointer<float>(), add);
    }
}
