using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>Sum of all elements, a scalar, F32.</summary>
    public static Tensor Sum(this Tensor x) => Reduced("sum", x.Reshape(Shape.Of(checked((int)x.Count))), 0, 1);

    /// <summary>Sum over one axis, which disappears; <c>^1</c> is the last. F32 for every type of x.</summary>
    public static Tensor Sum(this Tensor x, Index axis) => Reduced("sum", x, axis.GetOffset(x.Shape.Rank), 1);

    /// <summary>Mean of all elements, a scalar, F32.</summary>
    public static Tensor Mean(this Tensor x) =>
        Reduced("mean", x.Reshape(Shape.Of(checked((int)x.Count))), 0, 1f / x.Count);

    /// <summary>Mean over one axis, which disappears; <c>^1</c> is the last. F32 for every type of x.</summary>
    public static Tensor Mean(this Tensor x, Index axis) =>
        Reduced("mean", x, axis.GetOffset(x.Shape.Rank), null);

    private static Tensor Reduced(string name, Tensor x, int axis, float? scale)
    {
        Tensor.RequireFloat(name, x);
        var split = AxisSplit.Of(name, x, axis);
        return new SumOp(name, x, split, scale ?? 1f / split.Extent).Run(split.Reduced(x.Shape), DType.F32);
    }
}

/// <summary>A shape seen as (outer, axis, inner).</summary>
internal readonly record struct AxisSplit(int Axis, int Outer, int Extent, int Inner)
{
    public static AxisSplit Of(string op, Tensor x, int axis)
    {
        if ((uint)axis >= (uint)x.Shape.Rank)
            throw new ArgumentException($"[{op}] axis must be within the rank, but got {axis} (x {x.Shape})");
        var (outer, inner) = (1, 1);
        for (var i = 0; i < x.Shape.Rank; i++)
        {
            outer *= i < axis ? x.Shape[i] : 1;
            inner *= i > axis ? x.Shape[i] : 1;
        }
        return new AxisSplit(axis, outer, x.Shape[axis], inner);
    }

    public Shape Reduced(Shape shape)
    {
        Span<int> dims = stackalloc int[Shape.MaxRank];
        shape.Dims[..Axis].CopyTo(dims);
        shape.Dims[(Axis + 1)..].CopyTo(dims[Axis..]);
        return Shape.Of(dims[..(shape.Rank - 1)]);
    }
}

internal sealed unsafe class SumOp(string name, Tensor x, AxisSplit split, float scale) : Op(name, x)
{
    protected override void ForwardCpu(Tensor y) =>
        SumKernel.Axis(x.Pointer<float>(), split.Outer, split.Extent, split.Inner, scale, y.Pointer<float>());

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        SumKernel.AxisBackward(
            dy.Pointer<float>(), split.Outer, split.Extent, split.Inner, scale, g.Pointer<float>(), add);
    }

    protected override void ForwardCuda(Tensor y)
    {
        var count = Kernels.Ops.Sum.ScratchCount(split.Outer, split.Extent, split.Inner, x.DType == DType.BF16);
        var scratch = count > 0 ? x.Device.Rent(count * sizeof(float)) : null;
        Kernels.Ops.Sum.Axis(
            Stream(y), x.DeviceAddress, x.DType == DType.BF16, split.Outer, split.Extent, split.Inner, scale,
            y.DeviceAddress, y.DType == DType.BF16, accumulate: false, scratch?.DeviceAddress ?? 0);
        scratch?.Release();
    }

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        Elementwise.Expand(
            Stream(dy), OperandOf(dy), scale, split.Outer, split.Extent, split.Inner, OperandOf(g), add);
    }
}
