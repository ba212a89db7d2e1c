using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Log-softmax over the last dimension of (rows, cols), f32 or bf16; any width and any element-aligned address.
/// </summary>
public static class LogSoftmax
{
    /// <summary>Queues y = x - log(sum(e^x)).</summary>
    public static void Forward(CudaStream stream, in Softmax.ForwardArgs args, bool bf16)
    {
        Kernel<Softmax.ForwardArgs> kernel = bf16
            ? stream.Context.Modules.Kernel<Softmax.ForwardArgs>("LogSoftmaxBf16", "log_softmax_forward_bf16")
            : stream.Context.Modules.Kernel<Softmax.ForwardArgs>("LogSoftmax", "log_softmax_forward_f32");
        kernel.Launch(stream, RowTeam.Shape(args.Rows, args.Cols, bf16, caches: 1), args);
    }

    /// <summary>Queues dx (+)= dy - e^y * sum(dy), y the log-softmax.</summary>
    public static void Backward(CudaStream stream, in Softmax.BackwardArgs args, bool bf16)
    {
        Kernel<Softmax.BackwardArgs> kernel = bf16
            ? stream.Context.Modules.Kernel<Softmax.BackwardArgs>("LogSoftmaxBackwardBf16", "log_softmax_backward_bf16")
            : stream.Context.Modules.Kernel<Softmax.BackwardArgs>("LogSoftmaxBackward", "log_softmax_backward_f32");
        kernel.Launch(stream, RowTeam.Shape(args.Rows, args.Cols, bf16, caches: 2), args);
    }
}
