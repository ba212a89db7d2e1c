using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>x / (1 + e^-x), F32 (Elfwing et al. 2017).</summary>
    public static Tensor Silu(this Tensor x)
    {
        Tensor.RequireFloat("silu", x);
        return new SiluOp(x).Run(x.Shape);
    }
}

internal sealed unsafe class SiluOp : Op
{
    private readonly Tensor x;

    public SiluOp(Tensor x)
        : base("silu", x)
    {
        this.x = x;
        Save(x);
    }

    protected override void ForwardCpu(Tensor y) =>
        SiluKernel.Forward(x.Pointer<float>(), y.Pointer<float>(), x.Count);

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        SiluKernel.Backward(x.Pointer<float>(), dy.Pointer<float>(), g.Pointer<float>(), x.Count, add);
    }

    protected override void ForwardCuda(Tensor y) =>
        Kernels.Ops.Silu.Forward(Stream(y), x.DeviceAddress, y.DeviceAddress, x.Count, x.DType == DType.BF16);

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        Kernels.Ops.Silu.Backward(
            Stream(dy), x.DeviceAddress, dy.DeviceAddress, g.DeviceAddress, x.Count, add, x.DType == DType.BF16);
    }
}
