using System.Runtime.InteropServices;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Softmax over the last dimension of (rows, cols), f32 or bf16; any width and any element-aligned address.
/// </summary>
public static class Softmax
{
    /// <summary>x, y (rows, cols). y may be x.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct ForwardArgs(ulong X, ulong Y, int Rows, int Cols);

    /// <summary>y, dy, dx (rows, cols). Accumulate 1 adds to dx.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct BackwardArgs(ulong Y, ulong Dy, ulong Dx, int Rows, int Cols, int Accumulate);

    /// <summary>Queues y = e^x / sum(e^x).</summary>
    public static void Forward(CudaStream stream, in ForwardArgs args, bool bf16)
    {
        Kernel<ForwardArgs> kernel = bf16
            ? stream.Context.Modules.Kernel<ForwardArgs>("SoftmaxBf16", "softmax_forward_bf16")
            : stream.Context.Modules.Kernel<ForwardArgs>("Softmax", "softmax_forward_f32");
        kernel.Launch(stream, RowTeam.Shape(args.Rows, args.Cols, bf16, caches: 1), args);
    }

    /// <summary>Queues dx (+)= y * (dy - sum(y * dy)).</summary>
    public static void Backward(CudaStream stream, in BackwardArgs args, bool bf16)
    {
        Kernel<BackwardArgs> kernel = bf16
            ? stream.Context.Modules.Kernel<BackwardArgs>("SoftmaxBackwardBf16", "softmax_backward_bf16")
            : stream.Context.Modules.Kernel<BackwardArgs>("SoftmaxBackward", "softmax_backward_f32");
        kernel.Launch(stream, RowTeam.Shape(args.Rows, args.Cols, bf16, caches: 2), args);
    }
}
