using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>
    /// A copy of <paramref name="length"/> entries of one axis from <paramref name="start"/> on. F32.
    /// </summary>
    public static Tensor Slice(this Tensor x, Index axis, int start, int length)
    {
        Tensor.RequireFloat("slice", x);
        var split = AxisSplit.Of("slice", x, axis.GetOffset(x.Shape.Rank));
        if (start < 0 || length < 0 || start + (long)length > split.Extent)
            throw new ArgumentException(
                $"[slice] range must lie within the axis of {split.Extent}, " +
                $"but got {start}..{start + (long)length} (x {x.Shape})");
        return new SliceOp(x, split, start, length).Run(x.Shape.With(axis, length));
    }
}

internal sealed unsafe class SliceOp(Tensor x, AxisSplit split, int start, int length) : Op("slice", x)
{
    protected override void ForwardCpu(Tensor y) =>
        BlockCopyKernel.Run(
            x.Pointer<float>() + ((long)start * split.Inner), (long)split.Extent * split.Inner,
            y.Pointer<float>(), (long)length * split.Inner, split.Outer, length * split.Inner);

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add).Pointer<float>();
        long width = (long)split.Extent * split.Inner, from = (long)start * split.Inner;
        if (add)
            BlockCopyKernel.Run(
                dy.Pointer<float>(), (long)length * split.Inner, g + from, width, split.Outer, length * split.Inner,
                accumulate: true);
        else
            BlockCopyKernel.Pad(dy.Pointer<float>(), length * split.Inner, g, width, from, split.Outer);
    }

    protected override void ForwardCuda(Tensor y) =>
        Elementwise.CopyBlocks(
            Stream(y), Part(x), (long)split.Extent * split.Inner, OperandOf(y), (long)length * split.Inner, split.Outer,
            (long)length * split.Inner);

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        if (!add)
            g.Clear();
        Elementwise.CopyBlocks(
            Stream(dy), OperandOf(dy), (long)length * split.Inner, Part(g), (long)split.Extent * split.Inner,
            split.Outer, (long)length * split.Inner, add);
    }

    // The tensor from the first sliced element on.
    private Operand Part(Tensor tensor) =>
        new(
            tensor.DeviceAddress + (ulong)((long)start * split.Inner * tensor.DType.Size()),
            tensor.DType == DType.BF16);
}
