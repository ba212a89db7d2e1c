using CudaLora.Kernels.Ops;
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
        if (x.Device.Kind == DeviceKind.Cuda)
            MaxOp.Find(x, split, null, at.DeviceAddress);
        else
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

    protected override void ForwardCuda(Tensor y) =>
        Find(x, split, y, Tracking ? (ulong)RentScratch<int>(y.Count) : 0);

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        Kernels.Ops.Max.AxisBackward(
            Stream(dy), dy.DeviceAddress, (ulong)Scratch<int>(), split.Outer, split.Extent, split.Inner,
            g.DeviceAddress, add, x.DType == DType.BF16);
    }

    internal static void Find(Tensor x, AxisSplit split, Tensor? y, ulong at) =>
        Kernels.Ops.Max.Axis(
            Stream(x), x.DeviceAddress, split.Outer, split.Extent, split.Inner, y?.DeviceAddress ?? 0, at,
            x.DType == DType.BF16);
}
