using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>e^x / Σ e^x over the last dimension, F32.</summary>
    public static Tensor Softmax(this Tensor x)
    {
        Tensor.RequireFloat("softmax", x);
        return new SoftmaxOp(x).Run(x.Shape);
    }
}

internal sealed unsafe class SoftmaxOp(Tensor x) : Op("softmax", x)
{
    protected override void ForwardCpu(Tensor y)
    {
        SoftmaxKernel.Forward(x.Pointer<float>(), y.Pointer<float>(), x.Shape.Rows, x.Shape.Columns);
        Save(y);
    }

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        SoftmaxKernel.Backward(
            y.Pointer<float>(), dy.Pointer<float>(), g.Pointer<float>(), y.Shape.Rows, y.Shape.Columns, add);
    }
}
