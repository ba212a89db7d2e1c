using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Ops;

namespace CudaLora.Engine;

/// <summary>
/// Matrix products of tensors on a CUDA device. Both factors have the type of the activations, F32 or BF16; a weight of
/// the other type is cast to a copy for the product. Sums are F32.
/// </summary>
internal static class CudaProduct
{
    /// <summary>A factor as the product reads it.</summary>
    public readonly struct Factor(ulong address, int pitch, Storage? copy)
    {
        public ulong Address => address;

        /// <summary>Elements from row to row of a matrix.</summary>
        public int Pitch => pitch;

        public void Release() => copy?.Release();
    }

    /// <summary>
    /// Elements from row to row of a small matrix that products read: in BF16 whole units of 16 bytes.
    /// </summary>
    public static int Pitch(DType dtype, int cols) => dtype == DType.BF16 ? (cols + 7) / 8 * 8 : cols;

    /// <summary>The element type of a tensor's products.</summary>
    public static GemmType TypeOf(DType dtype) => dtype == DType.BF16 ? GemmType.BF16 : GemmType.F32;

    /// <summary>
    /// <paramref name="tensor"/> in <paramref name="dtype"/>, its rows without gaps: itself, or a copy to be released.
    /// </summary>
    public static Factor As(DType dtype, Tensor tensor)
    {
        var dense = tensor.HasAdapterRoom ? tensor.RentDense() : null;
        var (address, pitch) = (dense?.DeviceAddress ?? tensor.DeviceAddress, tensor.Shape[^1]);
        if (tensor.DType == dtype)
            return new Factor(address, pitch, dense);
        var copy = tensor.Device.Rent(Math.Max(1, tensor.Count) * dtype.Size());
        Cast.Run(
            Of(tensor).Stream, address, CastOf(tensor.DType), copy.DeviceAddress, CastOf(dtype), tensor.Count);
        dense?.Release();
        return new Factor(copy.DeviceAddress, pitch, copy);
    }

    /// <summary>A weight in <paramref name="dtype"/>, with room between its rows if that is how it lies.</summary>
    public static Factor Rows(DType dtype, Tensor weight) => weight.HasAdapterRoom && weight.DType == dtype
        ? new Factor(weight.RowsAddress, weight.RowPitch, null)
        : As(dtype, weight);

    /// <summary>y (..., out) = x Wᵀ + b; W (out, in) is let go of.</summary>
    public static void Forward(Tensor x, in Factor w, Tensor? bias, Tensor y)
    {
        if (bias is not null)
            FillRows(y, bias);
        Forward(x, w, y, bias is not null);
    }

    /// <summary>y (..., out) (+)= x Wᵀ; W (out, in) is let go of.</summary>
    public static void Forward(Tensor x, in Factor w, Tensor y, bool add)
    {
        Run(
            x.DType, false, true, y.Shape.Rows, y.Shape[^1], x.Shape[^1], 1, x.DeviceAddress, w.Address, y, add,
            w.Pitch);
        w.Release();
    }

    /// <summary>g (..., in) (+)= dY W, the gradient of x; W (out, in) is let go of.</summary>
    public static void InputGrad(Tensor dy, in Factor w, Tensor g, bool add)
    {
        Run(
            dy.DType, false, false, dy.Shape.Rows, g.Shape[^1], dy.Shape[^1], 1, dy.DeviceAddress, w.Address, g, add,
            w.Pitch);
        w.Release();
    }

    /// <summary>
    /// to (m, n) = alpha op(a) op(b) + (add ? to : 0) on dense matrices of <paramref name="dtype"/>. A target of the
    /// other type gets a sum in F32 where the library has one, else by way of a copy. Rows of b may have a pitch.
    /// </summary>
    public static void Run(
        DType dtype, bool transA, bool transB, int m, int n, int k, float alpha, ulong a, ulong b, Tensor to, bool add,
        int pitchB = 0)
    {
        if (m == 0 || n == 0)
            return;
        var device = Of(to);
        if (k == 0)
        {
            if (!add)
                to.Clear();
            return;
        }
        var shape = GemmShape.Dense(m, n, k, transA, transB, TypeOf(dtype), TypeOf(to.DType));
        if (pitchB > 0)
            shape = shape with { Ldb = pitchB };
        if (dtype == DType.BF16 || to.DType == DType.F32)
        {
            device.Gemm.Run(device.Stream, shape, a, b, to.DeviceAddress, alpha, add ? 1 : 0);
            return;
        }
        var sum = device.Rent((long)m * n * sizeof(float));
        device.Gemm.Run(device.Stream, shape with { OutputType = GemmType.F32 }, a, b, sum.DeviceAddress, alpha);
        Cast.Run(
            device.Stream, sum.DeviceAddress, CastType.F32, to.DeviceAddress, CastType.BF16, (long)m * n,
            accumulate: add);
        sum.Release();
    }

    /// <summary>A tensor's CUDA device.</summary>
    public static CudaDevice Of(Tensor tensor) => (CudaDevice)tensor.Device;

    /// <summary>Every row of y (rows, n) (+)= bias (n), rounded to y's type.</summary>
    public static void FillRows(Tensor y, Tensor bias, bool add = false) => Elementwise.Expand(
        Of(y).Stream, Operand(bias), 1, 1, y.Shape.Rows, y.Shape[^1], Operand(y), add);

    /// <summary>Gradient of a bias: the sum of dy's rows, in a fixed order.</summary>
    public static void SumRows(Tensor dy, Tensor to, bool add)
    {
        var (rows, cols, bf16) = (dy.Shape.Rows, dy.Shape[^1], dy.DType == DType.BF16);
        var scratch = dy.Device.Rent(Math.Max(1, Sum.ScratchCount(1, rows, cols, bf16)) * sizeof(float));
        Sum.Axis(
            Of(dy).Stream, dy.DeviceAddress, bf16, 1, rows, cols, 1, to.DeviceAddress, to.DType == DType.BF16, add,
            scratch.DeviceAddress);
        scratch.Release();
    }

    private static Operand Operand(Tensor tensor) => new(tensor.DeviceAddress, tensor.DType == DType.BF16);

    private static CastType CastOf(DType dtype) => dtype == DType.BF16 ? CastType.BF16 : CastType.F32;
}
