using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>
    /// GELU, F32 (Hendrycks and Gimpel 2016): x Φ(x), or GPT-2's tanh approximation (<c>gelu_new</c>) with
    /// <paramref name="tanh"/>.
    /// </summary>
    public static Tensor Gelu(this Tensor x, bool tanh = false)
    {
        Tensor.RequireFloat("gelu", x);
        return new GeluOp(x, tanh).Run(x.Shape);
    }
}

internal sealed unsafe class GeluOp : Op
{
    private readonly Tensor x;
    private readonly bool tanh;

    public GeluOp(Tensor x, bool tanh)
        : base("gelu", x)
    {
        (this.x, this.tanh) = (x, tanh);
        Save(x);
    }

    protected override void ForwardCpu(Tensor y)
    {
        if (tanh)
            GeluKernel.TanhForward(x.Pointer<float>(), y.Pointer<float>(), x.Count);
        else
            GeluKernel.Forward(x.Pointer<float>(), y.Pointer<float>(), x.Count);
    }

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add).Pointer<float>();
        if (tanh)
            GeluKernel.TanhBackward(x.Pointer<float>(), dy.Pointer<float>(), g, x.Count, add);
        else
            GeluKernel.Backward(x.Pointer<float>(), dy.Pointer<float>(), g, x.Count, add);
    }

    protected override void ForwardCuda(Tensor y) =>
        Kernels.Ops.Gelu.Forward(Stream(y), x.DeviceAddress, y.DeviceAddress, x.Count, tanh, x.DType == DType.BF16);

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        Kernels.Ops.Gelu.Backward(
            Stream(dy), x.DeviceAddress, dy.DeviceAddress, g.DeviceAddress, x.Count, add, tanh, x.DType == DType.BF16);
    }
}
