using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>a + b with broadcast, F32 or BF16; BF16 if one is.</summary>
    public static Tensor Add(this Tensor a, Tensor b) =>
        new AddOp(a, b).Run(Broadcast.Of("add", a, b), Broadcast.TypeOf(a, b));
}

internal sealed unsafe class AddOp(Tensor a, Tensor b) : BinaryOp("add", a, b)
{
    protected override void ForwardCpu(Tensor y) =>
        BinaryKernel.Add(Plan(y.Shape, A, B), A.Pointer<float>(), B.Pointer<float>(), y.Pointer<float>());

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        PassSum(A, dy);
        PassSum(B, dy);
    }

    protected override void ForwardCuda(Tensor y) => ForwardCuda(y, ElementwiseOp.Sum);

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        PassSumCuda(A, dy, 1);
        PassSumCuda(B, dy, 1);
    }
}
