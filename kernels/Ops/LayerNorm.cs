using System.Runtime.InteropServices;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// LayerNorm: y = w * (x - mean) / sqrt(variance + eps) + b per row, and its gradients. x and its kind are f32 or bf16,
/// w, b and the statistics f32; any width and any element-aligned address.
/// </summary>
public static class LayerNorm
{
    /// <summary>x, y (rows, cols), w (cols), b (cols) or 0, mean, rstd (rows). y may be x.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct ForwardArgs(
        ulong X, DevicePointer<float> W, DevicePointer<float> B, ulong Y, DevicePointer<float> Mean,
        DevicePointer<float> Rstd, int Rows, int Cols, float Eps);

    /// <summary>x, dy, dx (rows, cols), w (cols), mean, rstd (rows). Accumulate 1 adds to dx.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct BackwardArgs(
        ulong X, DevicePointer<float> W, ulong Dy, DevicePointer<float> Mean, DevicePointer<float> Rstd, ulong Dx,
        int Rows, int Cols, int Accumulate);

    /// <summary>
    /// x, dy (rows, cols), mean, rstd (rows), partial and partialB (chunks, cols): sums for dw and db. The second stage
    /// is <see cref="RmsNorm.WeightSum"/> for each.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct WeightArgs(
        ulong X, ulong Dy, DevicePointer<float> Mean, DevicePointer<float> Rstd, DevicePointer<float> Partial,
        DevicePointer<float> PartialB, int Rows, int Cols, int RowsPerChunk);

    /// <summary>Queues the forward pass.</summary>
    public static void Forward(CudaStream stream, in ForwardArgs args, bool bf16)
    {
        Kernel<ForwardArgs> kernel = bf16
            ? stream.Context.Modules.Kernel<ForwardArgs>("LayerNormBf16", "layer_norm_forward_bf16")
            : stream.Context.Modules.Kernel<ForwardArgs>("LayerNorm", "layer_norm_forward_f32");
        kernel.Launch(stream, RowTeam.Shape(args.Rows, args.Cols, bf16, caches: 1), args);
    }

    /// <summary>Queues the gradient of x.</summary>
    public static void Backward(CudaStream stream, in BackwardArgs args, bool bf16)
    {
        Kernel<BackwardArgs> kernel = bf16
            ? stream.Context.Modules.Kernel<BackwardArgs>("LayerNormBackwardBf16", "layer_norm_backward_bf16")
            : stream.Context.Modules.Kernel<BackwardArgs>("LayerNormBackward", "layer_norm_backward_f32");
        kernel.Launch(stream, RowTeam.Shape(args.Rows, args.Cols, bf16, caches: 2), args);
    }

    /// <summary>Queues the first stage of the gradients of w and b: partial sums per chunk of rows.</summary>
    public static void Weight(CudaStream stream, in WeightArgs args, bool bf16)
    {
        int chunks = (args.Rows + args.RowsPerChunk - 1) / args.RowsPerChunk;
        stream.Context.Modules
            .Kernel<WeightArgs>("LayerNormWeight", bf16 ? "layer_norm_dweight_bf16" : "layer_norm_dweight_f32")
            .Launch(stream, RmsNorm.WeightShape(args.Cols, chunks), args);
    }
}
