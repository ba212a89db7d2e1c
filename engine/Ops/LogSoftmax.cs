using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>x - log Σ e^x over the last dimension.</summary>
    public static Tensor LogSoftmax(this Tensor x)
    {
        Tensor.RequireFloat("log_softmax", x);
        return new LogSoftmaxOp(x).Run(x.Shape);
    }
}

internal sealed unsafe class LogSoftmaxOp(Tensor x) : Op("log_softmax", x)
{
    protected override void ForwardCpu(Tensor y)
    {
        SoftmaxKernel.LogForward(x.Pointer<float>(), y.Pointer<float>(), x.Shape.Rows, x.Shape.Columns);
        Save(y);
    }

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        SoftmaxKernel.LogBackward(
            y.Pointer<float>(), dy.Pointer<float>(), g.Pointer<float>(), y.Shape.Rows, y.Shape.Columns, add);
    }

    protected override void ForwardCuda(Tensor y)
    {
        Kernels.Ops.LogSoftmax.Forward(
            Stream(y), new(x.DeviceAddress, y.DeviceAddress, x.Shape.Rows, x.Shape.Columns), x.DType == DType.BF16);
        Save(y);
    }

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        Kernels.Ops.LogSoftmax.Backward(
            Stream(dy),
            new(y.DeviceAddress, dy.DeviceAddress, g.DeviceAddress, y.Shape.Rows, y.Shape.Columns, add ? 1 : 0),
            x.DType == DType.BF16);
    }
}
