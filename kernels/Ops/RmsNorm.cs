using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// RmsNorm.ptx (f32) and RmsNormBf16.ptx: y = w * x / sqrt(mean(x * x) + eps) per row, and its gradients. Rows are
/// 16-byte
/// aligned: cols is a multiple of 4 (f32) or 8 (bf16).
/// </summary>
public static class RmsNorm
{
    private const int Block = 256;

    /// <summary>x, y (rows, cols), w (cols), rstd (rows). y may be x.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct ForwardArgs(
        ulong X, ulong W, ulong Y, DevicePointer<float> Rstd, int Cols, float Eps);

    /// <summary>x, dy, dx (rows, cols), w (cols), rstd (rows). Accumulate 1 adds to dx.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct BackwardArgs(
        ulong X, ulong W, ulong Dy, DevicePointer<float> Rstd, ulong Dx, int Cols, int Accumulate);

    /// <summary>x, dy (rows, cols), rstd (rows), partial (chunks, cols).</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct WeightArgs(
        ulong X, ulong Dy, DevicePointer<float> Rstd, DevicePointer<float> Partial, int Rows, int Cols,
        int RowsPerChunk);

    /// <summary>partial (chunks, cols), dw (cols). Accumulate 1 adds to dw.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct WeightSumArgs(
        DevicePointer<float> Partial, DevicePointer<float> Dw, int Chunks, int Cols, int Accumulate);

    /// <summary>Forward and backward: a block per row.</summary>
    public static LaunchShape RowShape(int rows) => new(rows, Block);

    /// <summary>The weight gradient: columns across, chunks of rows down.</summary>
    public static LaunchShape WeightShape(int cols, int chunks, bool bf16)
    {
        int perBlock = bf16 ? 2 * Block : Block;
        return new(new Dim3((uint)((cols + perBlock - 1) / perBlock), (uint)chunks), Block);
    }

    /// <summary>The sum over chunks.</summary>
    public static LaunchShape WeightSumShape(int cols) => new((cols + Block - 1) / Block, Block);

    /// <summary>Queues the forward pass of <paramref name="rows"/> rows.</summary>
    public static void Forward(CudaStream stream, int rows, in ForwardArgs args, bool bf16) =>
        Kernel<ForwardArgs>(stream, bf16, "rms_norm_forward_f32", "rms_norm_forward_bf16")
            .Launch(stream, RowShape(rows), args);

    /// <summary>Queues the gradient of x.</summary>
    public static void Backward(CudaStream stream, int rows, in BackwardArgs args, bool bf16) =>
        Kernel<BackwardArgs>(stream, bf16, "rms_norm_backward_f32", "rms_norm_backward_bf16")
            .Launch(stream, RowShape(rows), args);

    /// <summary>Queues the first stage of the gradient of w: one partial sum per chunk of rows.</summary>
    public static void Weight(CudaStream stream, in WeightArgs args, bool bf16)
    {
        int chunks = (args.Rows + args.RowsPerChunk - 1) / args.RowsPerChunk;
        Kernel<WeightArgs>(stream, bf16, "rms_norm_dweight_f32", "rms_norm_dweight_bf16")
            .Launch(stream, WeightShape(args.Cols, chunks, bf16), args);
    }

    /// <summary>Queues the second stage.</summary>
    public static void WeightSum(CudaStream stream, in WeightSumArgs args) =>
        stream.Context.Modules.Kernel<WeightSumArgs>("RmsNorm", "rms_norm_dweight_sum_f32")
            .Launch(stream, WeightSumShape(args.Cols), args);

    // Whole names, so that a launch builds no string.
    private static Kernel<TArgs> Kernel<TArgs>(CudaStream stream, bool bf16, string single, string half)
        where TArgs : unmanaged =>
        stream.Context.Modules.Kernel<TArgs>(bf16 ? "RmsNormBf16" : "RmsNorm", bf16 ? half : single);
}
