using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

// On CUDA: one kernel for every op and pair of types, and sums of gradients in F32.
internal abstract partial class BinaryOp
{
    protected void ForwardCuda(Tensor y, ElementwiseOp op, float alpha = 1) =>
        Elementwise.Binary(
            Stream(y), op, alpha, Plan(y.Shape, A, B), OperandOf(A), OperandOf(B), OperandOf(y));

    /// <summary>Adds alpha dy to an operand's gradient, summed to its shape.</summary>
    protected static void PassSumCuda(Tensor operand, Tensor dy, float alpha)
    {
        if (!NeedsGrad(operand))
            return;
        if (alpha == 1 && operand.Shape == dy.Shape)
            PassGrad(operand, dy);
        else
            SumTo(operand, dy.Shape, OperandOf(dy), alpha);
    }

    /// <summary>Adds left op right, of shape <paramref name="shape"/>, to an operand's gradient.</summary>
    protected static void ReduceCuda(
        Tensor operand, Shape shape, ElementwiseOp op, float alpha, Operand left, Tensor right)
    {
        var stream = Stream(operand);
        var plan = BroadcastPlan.Create(shape.Dims, shape.Dims, right.Shape.Dims);
        if (operand.Shape == shape)
        {
            var g = GradOf(operand, out var add);
            Elementwise.Binary(stream, op, alpha, plan, left, OperandOf(right), OperandOf(g), add);
            return;
        }
        var full = operand.Device.Rent(Math.Max(1, shape.Count) * sizeof(float));
        var terms = new Operand(full.DeviceAddress, Bf16: false);
        Elementwise.Binary(stream, op, alpha, plan, left, OperandOf(right), terms);
        SumTo(operand, shape, terms, 1);
        full.Release();
    }

    private static void SumTo(Tensor operand, Shape shape, Operand terms, float alpha)
    {
        var g = GradOf(operand, out var add);
        var count = Kernels.Ops.Sum.ToShapeScratchCount(shape.Dims, operand.Shape.Dims, terms.Bf16);
        var scratch = count > 0 ? operand.Device.Rent(count * sizeof(float)) : null;
        Kernels.Ops.Sum.ToShape(
            Stream(operand), terms, shape.Dims, alpha, OperandOf(g), operand.Shape.Dims, add,
            scratch?.DeviceAddress ?? 0);
        scratch?.Release();
    }
}
