using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>Tensors joined along one axis, up to eight; all other extents must match. F32.</summary>
    public static Tensor Concat(Index axis, params ReadOnlySpan<Tensor> parts)
    {
        if (parts.Length == 0)
            throw new ArgumentException("[concat] at least one tensor expected, but got none");
        var first = parts[0];
        var at = axis.GetOffset(first.Shape.Rank);
        var total = 0;
        foreach (var part in parts)
        {
            Tensor.RequireFloat("concat", part);
            if (part.Shape.Rank != first.Shape.Rank || part.Shape.With(at, 0) != first.Shape.With(at, 0))
                throw new ArgumentException(
                    $"[concat] shapes must match except along axis {at}, but got {first.Shape} and {part.Shape}");
            total += part.Shape[at];
        }
        return new ConcatOp(parts, at).Run(first.Shape.With(at, total));
    }
}

internal sealed unsafe class ConcatOp : Op
{
    private readonly int axis;

    public ConcatOp(ReadOnlySpan<Tensor> parts, int axis)
        : base("concat", null)
    {
        this.axis = axis;
        foreach (var part in parts)
            Add(part);
        TrackIfNeeded();
    }

    protected override void ForwardCpu(Tensor y)
    {
        var whole = AxisSplit.Of(Name, y, axis);
        long offset = 0;
        for (var i = 0; i < InputCount; i++)
        {
            var length = Input(i).Shape[axis] * whole.Inner;
            BlockCopyKernel.Run(
                Input(i).Pointer<float>(), length, y.Pointer<float>() + offset, (long)whole.Extent * whole.Inner,
                whole.Outer, length);
            offset += length;
        }
    }

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var whole = AxisSplit.Of(Name, dy, axis);
        long offset = 0;
        for (var i = 0; i < InputCount; i++)
        {
            var length = Input(i).Shape[axis] * whole.Inner;
            if (NeedsGrad(Input(i)))
            {
                var g = GradOf(Input(i), out var add);
                BlockCopyKernel.Run(
                    dy.Pointer<float>() + offset, (long)whole.Extent * whole.Inner, g.Pointer<float>(), length,
                    whole.Outer, length, add);
            }
            offset += length;
        }
    }
}
