using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>a - b with broadcast, F32 or BF16; BF16 if one is.</summary>
    public static Tensor Sub(this Tensor a, Tensor b) =>
        new SubOp(a, b).Run(Broadcast.Of("sub", a, b), Broadcast.TypeOf(a, b));
}

internal sealed unsafe class SubOp(Tensor a, Tensor b) : BinaryOp("sub", a, b)
{
    protected override void ForwardCpu(Tensor y) =>
        BinaryKernel.Sub(Plan(y.Shape, A, B), A.Pointer<float>(), B.Pointer<float>(), y.Pointer<float>());

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        PassSum(A, dy);
        if (NeedsGrad(B))
            Reduce(B, dy.Shape, dy, &Negated);
    }

    protected override void ForwardCuda(Tensor y) => ForwardCuda(y, ElementwiseOp.Sum, -1);

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        PassSumCuda(A, dy, 1);
        PassSumCuda(B, dy, -1);
    }

    private static void Negated(Tensor dy, float* to, bool add) =>
        VectorOps.Scale(dy.Pointer<float>(), -1, to, dy.Count, add);
}
