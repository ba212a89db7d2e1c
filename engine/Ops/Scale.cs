using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>x times a constant, F32.</summary>
    public static Tensor Scale(this Tensor x, float factor)
    {
        Tensor.RequireFloat("scale", x);
        return new ScaleOp(x, factor).Run(x.Shape);
    }
}

internal sealed unsafe class ScaleOp(Tensor x, float factor) : Op("scale", x)
{
    protected override void ForwardCpu(Tensor y) =>
        VectorOps.Scale(x.Pointer<float>(), factor, y.Pointer<float>(), x.Count);

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        VectorOps.Scale(dy.Pointer<float>(), factor, g.Pointer<float>(), dy.Count, add);
    }

    protected override void ForwardCuda(Tensor y) =>
        Elementwise.Scale(Stream(y), OperandOf(x), factor, OperandOf(y), x.Count);

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        Elementwise.Scale(Stream(dy), OperandOf(dy), factor, OperandOf(g), dy.Count, add);
    }
}
