using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>Tensors joined along one axis, up to eight; other extents must match. F32, BF16 if one is.</summary>
    public static Tensor Concat(Index axis, params ReadOnlySpan<Tensor> parts)
    {
        if (parts.Length == 0)
            throw new ArgumentException("[concat] at least one tensor expected, but got none");
        var first = parts[0];
        var at = axis.GetOffset(first.Shape.Rank);
        var total = 0;
        var dtype = DType.F32;
        foreach (var part in parts)
        {
            Tensor.RequireFloat("concat", part);
            if (part.Shape.Rank != first.Shape.Rank || part.Shape.With(at, 0) != first.Shape.With(at, 0))
                throw new ArgumentException(
                    $"[concat] shapes must match except along axis {at}, but got {first.Shape} and {part.Shape}");
            total += part.Shape[at];
            dtype = part.DType == DType.BF16 ? DType.BF16 : dtype;
        }
        return new ConcatOp(parts, at).Run(first.Shape.With(at, total), dtype);
    }
}

internal sealed unsafe class ConcatOp : Op
{
    // On the CPU: wider rows are copied part by part, for a row is one thread's.
    private const int WidestJoined = 16384;

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
        if ((long)whole.Extent * whole.Inner <= WidestJoined)
        {
            Join(y, whole);
            return;
        }
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

    private void Join(Tensor y, in AxisSplit whole)
    {
        Span<RowPart> parts = stackalloc RowPart[MaxInputs];
        for (var i = 0; i < InputCount; i++)
            parts[i] = new RowPart(Input(i).Pointer<float>(), Input(i).Shape[axis] * whole.Inner);
        BlockCopyKernel.Join(parts[..InputCount], y.Pointer<float>(), whole.Outer);
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

    protected override void ForwardCuda(Tensor y)
    {
        var whole = AxisSplit.Of(Name, y, axis);
        long offset = 0;
        for (var i = 0; i < InputCount; i++)
        {
            var length = (long)Input(i).Shape[axis] * whole.Inner;
            Elementwise.CopyBlocks(
                Stream(y), OperandOf(Input(i)), length, From(y, offset), (long)whole.Extent * whole.Inner, whole.Outer,
                length);
            offset += length;
        }
    }

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var whole = AxisSplit.Of(Name, dy, axis);
        long offset = 0;
        for (var i = 0; i < InputCount; i++)
        {
            var length = (long)Input(i).Shape[axis] * whole.Inner;
            if (NeedsGrad(Input(i)))
            {
                var g = GradOf(Input(i), out var add);
                Elementwise.CopyBlocks(
                    Stream(dy), From(dy, offset), (long)whole.Extent * whole.Inner, OperandOf(g), length, whole.Outer,
                    length, add);
            }
            offset += length;
        }
    }

    private static Operand From(Tensor tensor, long offset) =>
        new(tensor.DeviceAddress + (ulong)(offset * tensor.DType.Size()), tensor.DType == DType.BF16);
}
