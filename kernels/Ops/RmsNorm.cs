using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// RMSNorm: y = w * x / sqrt(mean(x * x) + eps) per row, after a residual addition if wanted, and its gradients. x and
/// its kind are f32 or bf16, w and the statistics f32; any width and any element-aligned address.
/// </summary>
public static class RmsNorm
{
    private const int Block = 256;

    /// <summary>x, y (rows, cols), w (cols), rstd (rows) or 0. y may be x.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct ForwardArgs(
        ulong X, DevicePointer<float> W, ulong Y, DevicePointer<float> Rstd, int Rows, int Cols, float Eps);

    /// <summary>x, residual, h, y (rows, cols), w (cols), rstd (rows) or 0. h may be x or residual.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct ResidualArgs(
        ulong X, ulong Residual, DevicePointer<float> W, ulong H, ulong Y, DevicePointer<float> Rstd, int Rows,
        int Cols, float Eps);

    /// <summary>
    /// x, dy, dx (rows, cols), w (cols), rstd (rows). Base, unless 0, is added: dx itself to accumulate.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct BackwardArgs(
        ulong X, DevicePointer<float> W, ulong Dy, DevicePointer<float> Rstd, ulong Base, ulong Dx, int Rows,
        int Cols);

    /// <summary>x, dy (rows, cols), rstd (rows), partial (chunks, cols).</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct WeightArgs(
        ulong X, ulong Dy, DevicePointer<float> Rstd, DevicePointer<float> Partial, int Rows, int Cols,
        int RowsPerChunk);

    /// <summary>partial (chunks, cols), dw (cols). Accumulate 1 adds to dw.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct WeightSumArgs(
        DevicePointer<float> Partial, DevicePointer<float> Dw, int Chunks, int Cols, int Accumulate);

    /// <summary>The weight gradient: columns across, chunks of rows down.</summary>
    public static LaunchShape WeightShape(int cols, int chunks) =>
        new(new Dim3((uint)((cols + Block - 1) / Block), (uint)chunks), Block);

    /// <summary>The sum over chunks.</summary>
    public static LaunchShape WeightSumShape(int cols) => new((cols + Block - 1) / Block, Block);

    /// <summary>
    /// Rows of one chunk of a weight gradient: enough chunks to fill a device, few enough to add up quickly.
    /// </summary>
    public static int RowsPerChunk(int rows, int cols)
    {
        // About 2048 blocks, but no partial sum over fewer than 16 rows.
        int chunks = Math.Clamp(2048 / ((cols + Block - 1) / Block), 1, Math.Max(1, rows / 16));
        return (rows + chunks - 1) / chunks;
    }

    /// <summary>Queues the forward pass.</summary>
    public static void Forward(CudaStream stream, in ForwardArgs args, bool bf16)
    {
        Kernel<ForwardArgs> kernel = bf16
            ? stream.Context.Modules.Kernel<ForwardArgs>("RmsNormBf16", "rms_norm_forward_bf16")
            : stream.Context.Modules.Kernel<ForwardArgs>("RmsNorm", "rms_norm_forward_f32");
        kernel.Launch(stream, RowTeam.Shape(args.Rows, args.Cols, bf16, caches: 1), args);
    }

    /// <summary>Queues the forward pass of x + residual.</summary>
    public static void Residual(CudaStream stream, in ResidualArgs args, bool bf16)
    {
        Kernel<ResidualArgs> kernel = bf16
            ? stream.Context.Modules.Kernel<ResidualArgs>("RmsNormResidualBf16", "rms_norm_residual_forward_bf16")
            : stream.Context.Modules.Kernel<ResidualArgs>("RmsNormResidual", "rms_norm_residual_forward_f32");
        kernel.Launch(stream, RowTeam.Shape(args.Rows, args.Cols, bf16, caches: 1), args);
    }

    /// <summary>Queues the gradient of x.</summary>
    public static void Backward(CudaStream stream, in BackwardArgs args, bool bf16)
    {
        Kernel<BackwardArgs> kernel = bf16
            ? stream.Context.Modules.Kernel<BackwardArgs>("RmsNormBackwardBf16", "rms_norm_backward_bf16")
            : stream.Context.Modules.Kernel<BackwardArgs>("RmsNorm", "rms_norm_backward_f32");
        kernel.Launch(stream, RowTeam.Shape(args.Rows, args.Cols, bf16, caches: 2), args);
    }

    /// <summary>Queues the first stage of the gradient of w: one partial sum per chunk of rows.</summary>
    public static void Weight(CudaStream stream, in WeightArgs args, bool bf16)
    {
        int chunks = (args.Rows + args.RowsPerChunk - 1) / args.RowsPerChunk;
        stream.Context.Modules
            .Kernel<WeightArgs>("RmsNormWeight", bf16 ? "rms_norm_dweight_bf16" : "rms_norm_dweight_f32")
            .Launch(stream, WeightShape(args.Cols, chunks), args);
    }

    /// <summary>Queues the second stage.</summary>
    public static void WeightSum(CudaStream stream, in WeightSumArgs args) =>
        stream.Context.Modules.Kernel<WeightSumArgs>("RmsNormWeight", "rms_norm_dweight_sum_f32")
            .Launch(stream, WeightSumShape(args.Cols), args);
}
