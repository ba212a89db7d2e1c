using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>
    /// The same values as F32, BF16 or F16, rounded to nearest even. Gradients are F32 for every dtype and pass through
    /// unchanged. Returns <paramref name="x"/> itself when it has the dtype.
    /// </summary>
    public static Tensor Cast(this Tensor x, DType dtype)
    {
        if (!IsFloat(x.DType) || !IsFloat(dtype))
            throw new ArgumentException(
                $"[cast] dtypes must be F32, BF16 or F16, but got {x.DType} to {dtype} (x {x.Shape})");
        return x.DType == dtype ? x : new CastOp(x).Run(x.Shape, dtype);
    }

    private static bool IsFloat(DType dtype) => dtype is DType.F32 or DType.BF16 or DType.F16;
}

internal sealed unsafe class CastOp(Tensor x) : Op("cast", x)
{
    protected override void ForwardCpu(Tensor y)
    {
        var n = x.Count;
        switch (x.DType, y.DType)
        {
            case (DType.F32, DType.BF16):
                CastKernel.ToBFloat16(x.Pointer<float>(), y.Pointer<ushort>(), n);
                break;
            case (DType.F32, _):
                CastKernel.ToHalf(x.Pointer<float>(), y.Pointer<ushort>(), n);
                break;
            case (DType.BF16, DType.F32):
                CastKernel.FromBFloat16(x.Pointer<ushort>(), y.Pointer<float>(), n);
                break;
            case (DType.BF16, _):
                CastKernel.BFloat16ToHalf(x.Pointer<ushort>(), y.Pointer<ushort>(), n);
                break;
            case (_, DType.F32):
                CastKernel.FromHalf(x.Pointer<ushort>(), y.Pointer<float>(), n);
                break;
            default:
                CastKernel.HalfToBFloat16(x.Pointer<ushort>(), y.Pointer<ushort>(), n);
                break;
        }
    }

    protected override void BackwardCpu(Tensor y, Tensor dy) => PassGrad(x, dy);

    protected override void ForwardCuda(Tensor y) =>
        Kernels.Ops.Cast.Run(
            Stream(y), x.DeviceAddress, TypeOf(x), y.DeviceAddress, TypeOf(y), x.Count);

    protected override void BackwardCuda(Tensor y, Tensor dy) => PassGrad(x, dy);

    private static CastType TypeOf(Tensor tensor) => tensor.DType switch
    {
        DType.BF16 => CastType.BF16,
        DType.F16 => CastType.F16,
        _ => CastType.F32,
    };
}
