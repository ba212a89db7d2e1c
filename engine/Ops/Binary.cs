using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>The shape two operands broadcast to, aligned at the last dimension as in NumPy.</summary>
internal static class Broadcast
{
    public static Shape Of(string op, Tensor a, Tensor b)
    {
        Tensor.RequireFloat(op, a);
        Tensor.RequireFloat(op, b);
        Span<int> dims = stackalloc int[Shape.MaxRank];
        var rank = Math.Max(a.Shape.Rank, b.Shape.Rank);
        for (var i = 1; i <= rank; i++)
        {
            var left = i <= a.Shape.Rank ? a.Shape[^i] : 1;
            var right = i <= b.Shape.Rank ? b.Shape[^i] : 1;
            if (left != right && left != 1 && right != 1)
                throw new ArgumentException(
                    $"[{op}] dimensions must be equal or 1, but got {left} and {right} (a {a.Shape}, b {b.Shape})");
            dims[rank - i] = left == 1 ? right : left;
        }
        return Shape.Of(dims[..rank]);
    }

    /// <summary>BF16 as soon as one operand is an activation in BF16, whatever a parameter beside it is.</summary>
    public static DType TypeOf(Tensor a, Tensor b) =>
        a.DType == DType.BF16 || b.DType == DType.BF16 ? DType.BF16 : DType.F32;
}

/// <summary>
/// An elementwise op of two operands with broadcast, and the sum of a gradient back to an operand's shape.
/// </summary>
internal abstract unsafe partial class BinaryOp(string name, Tensor a, Tensor b) : Op(name, a, b)
{
    protected Tensor A { get; } = a;

    protected Tensor B { get; } = b;

    protected static BroadcastPlan Plan(Shape result, Tensor left, Tensor right) =>
        BroadcastPlan.Create(result.Dims, left.Shape.Dims, right.Shape.Dims);

    /// <summary>
    /// Adds a gradient of shape <paramref name="shape"/>, as <paramref name="write"/> computes it, to an operand.
    /// </summary>
    protected static void Reduce<TState>(
        Tensor operand, Shape shape, TState state, delegate*<TState, float*, bool, void> write)
    {
        var g = GradOf(operand, out var add);
        if (operand.Shape == shape)
        {
            write(state, g.Pointer<float>(), add);
            return;
        }
        var full = operand.Device.Rent(shape.Count * sizeof(float));
        write(state, (float*)full.Pointer, false);
        ReduceToShape.Run((float*)full.Pointer, shape.Dims, g.Pointer<float>(), operand.Shape.Dims, add);
        full.Release();
    }

    /// <summary>Passes dy to an operand, summed to its shape.</summary>
    protected static void PassSum(Tensor operand, Tensor dy)
    {
        if (!NeedsGrad(operand))
            return;
        if (operand.Shape == dy.Shape)
        {
            PassGrad(operand, dy);
            return;
        }
        var g = GradOf(operand, out var add);
        ReduceToShape.Run(dy.Pointer<float>(), dy.Shape.Dims, g.Pointer<float>(), operand.Shape.Dims, add);
    }
}
