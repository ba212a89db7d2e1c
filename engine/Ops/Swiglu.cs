using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>silu(gate) up (Shazeer 2020, arXiv 2002.05202); both (..., n), F32.</summary>
    public static Tensor Swiglu(this Tensor gate, Tensor up)
    {
        Tensor.RequireFloat("swiglu", gate);
        Tensor.RequireFloat("swiglu", up);
        if (gate.Shape != up.Shape)
            throw new ArgumentException(
                $"[swiglu] gate and up must have one shape, but got gate {gate.Shape}, up {up.Shape}");
        if (gate.DType != up.DType)
            throw new ArgumentException(
                $"[swiglu] gate and up must have one dtype, but got gate {gate.DType}, up {up.DType}");
        return new SwigluOp(gate, up).Run(gate.Shape);
    }
}

internal sealed unsafe class SwigluOp : Op
{
    private readonly Tensor gate;
    private readonly Tensor up;

    public SwigluOp(Tensor gate, Tensor up)
        : base("swiglu", gate, up)
    {
        (this.gate, this.up) = (gate, up);
        Save(gate);
        Save(up);
    }

    protected override void ForwardCpu(Tensor y) =>
        SwigluKernel.Forward(
            gate.Pointer<float>(), up.Pointer<float>(), gate.Shape.Columns, y.Pointer<float>(), gate.Shape.Rows,
            gate.Shape.Columns);

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var (addGate, addUp) = (false, false);
        var dgate = NeedsGrad(gate) ? GradOf(gate, out addGate).Pointer<float>() : null;
        var dup = NeedsGrad(up) ? GradOf(up, out addUp).Pointer<float>() : null;
        SwigluKernel.Backward(
            gate.Pointer<float>(), up.Pointer<float>(), gate.Shape.Columns, dy.Pointer<float>(), gate.Shape.Rows,
            gate.Shape.Columns, dgate, addGate, dup, addUp);
    }

    protected override void ForwardCuda(Tensor y) =>
        Kernels.Ops.Swiglu.Forward(
            Stream(y), gate.DeviceAddress, up.DeviceAddress, gate.Shape.Columns, y.DeviceAddress, gate.Shape.Columns,
            gate.Shape.Rows, gate.Shape.Columns, gate.DType == DType.BF16);

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var (addGate, addUp) = (false, false);
        var dgate = NeedsGrad(gate) ? GradOf(gate, out addGate).DeviceAddress : 0;
        var dup = NeedsGrad(up) ? GradOf(up, out addUp).DeviceAddress : 0;
        Kernels.Ops.Swiglu.Backward(
            Stream(dy), gate.DeviceAddress, up.DeviceAddress, gate.Shape.Columns, dy.DeviceAddress, gate.Shape.Columns,
            dgate, addGate, dup, addUp, gate.Shape.Columns, gate.Shape.Rows, gate.Shape.Columns,
            gate.DType == DType.BF16);
    }
}
