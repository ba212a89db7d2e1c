using System.Runtime.CompilerServices;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>
    /// A copy with axes reordered: axis i of the result is axis <paramref name="order"/>[i] of x. F32.
    /// </summary>
    public static Tensor Permute(this Tensor x, params ReadOnlySpan<int> order)
    {
        Tensor.RequireFloat("permute", x);
        var seen = 0;
        foreach (var axis in order)
            seen |= (uint)axis < (uint)x.Shape.Rank ? 1 << axis : 0;
        if (order.Length != x.Shape.Rank || seen != (1 << order.Length) - 1)
            throw new ArgumentException(
                "[permute] order must name every axis once, " +
                $"but got ({string.Join(", ", order.ToArray())}) (x {x.Shape})");
        Span<int> dims = stackalloc int[Shape.MaxRank];
        for (var i = 0; i < order.Length; i++)
            dims[i] = x.Shape[order[i]];
        return new PermuteOp(x, order).Run(Shape.Of(dims[..order.Length]));
    }

    /// <summary>A copy with two axes exchanged; negative axes count from the end. F32.</summary>
    public static Tensor Transpose(this Tensor x, Index first, Index second)
    {
        Span<int> order = stackalloc int[Shape.MaxRank];
        for (var i = 0; i < x.Shape.Rank; i++)
            order[i] = i;
        var (a, b) = (first.GetOffset(x.Shape.Rank), second.GetOffset(x.Shape.Rank));
        if ((uint)a >= (uint)x.Shape.Rank || (uint)b >= (uint)x.Shape.Rank)
            throw new ArgumentException(
                $"[transpose] axes must be within the rank, but got {first}, {second} (x {x.Shape})");
        (order[a], order[b]) = (order[b], order[a]);
        return x.Permute(order[..x.Shape.Rank]);
    }
}

internal sealed unsafe class PermuteOp : Op
{
    private readonly Tensor x;
    private Axes order;
    private Axes inverse;

    public PermuteOp(Tensor x, ReadOnlySpan<int> order)
        : base("permute", x)
    {
        this.x = x;
        order.CopyTo(this.order);
        for (var i = 0; i < order.Length; i++)
            inverse[order[i]] = i;
    }

    protected override void ForwardCpu(Tensor y) =>
        PermuteKernel.Run(
            x.Pointer<float>(), x.Shape.Dims, ((ReadOnlySpan<int>)order)[..x.Shape.Rank], y.Pointer<float>());

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        PermuteKernel.Run(
            dy.Pointer<float>(), dy.Shape.Dims, ((ReadOnlySpan<int>)inverse)[..dy.Shape.Rank], g.Pointer<float>(), add);
    }

    protected override void ForwardCuda(Tensor y) =>
        Kernels.Ops.Permute.Run(
            Stream(y), x.DeviceAddress, x.Shape.Dims, ((ReadOnlySpan<int>)order)[..x.Shape.Rank], y.DeviceAddress,
            accumulate: false, x.DType == DType.BF16);

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        Kernels.Ops.Permute.Run(
            Stream(dy), dy.DeviceAddress, dy.Shape.Dims, ((ReadOnlySpan<int>)inverse)[..dy.Shape.Rank],
            g.DeviceAddress, add, x.DType == DType.BF16);
    }

    [InlineArray(Shape.MaxRank)]
    private struct Axes
    {
        private int first;
    }
}
