using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>a b elementwise with broadcast, F32 or BF16; BF16 if one is.</summary>
    public static Tensor Mul(this Tensor a, Tensor b) =>
        new MulOp(a, b).Run(Broadcast.Of("mul", a, b), Broadcast.TypeOf(a, b));
}

internal sealed unsafe class MulOp : BinaryOp
{
    public MulOp(Tensor a, Tensor b)
        : base("mul", a, b)
    {
        if (NeedsGrad(b))
            Save(a);
        if (NeedsGrad(a))
            Save(b);
    }

    protected override void ForwardCpu(Tensor y) =>
        BinaryKernel.Mul(Plan(y.Shape, A, B), A.Pointer<float>(), B.Pointer<float>(), y.Pointer<float>());

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        if (NeedsGrad(A))
            Reduce(A, dy.Shape, (dy, B), &Times);
        if (NeedsGrad(B))
            Reduce(B, dy.Shape, (dy, A), &Times);
    }

    protected override void ForwardCuda(Tensor y) => ForwardCuda(y, ElementwiseOp.Product);

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        if (NeedsGrad(A))
            ReduceCuda(A, dy.Shape, ElementwiseOp.Product, 1, OperandOf(dy), B);
        if (NeedsGrad(B))
            ReduceCuda(B, dy.Shape, ElementwiseOp.Product, 1, OperandOf(dy), A);
    }

    private static void Times((Tensor Dy, Tensor Other) state, float* to, bool add) =>
        BinaryKernel.Mul(
            Plan(state.Dy.Shape, state.Dy, state.Other), state.Dy.Pointer<float>(), state.Other.Pointer<float>(),
            to, add);
}
