using System.Runtime.InteropServices;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// The log-probability of one label per row of logits, f32 or bf16, without the log-softmax. A label outside the
/// vocabulary gives 0 and no gradient.
/// </summary>
public static class GatherLogProbs
{
    /// <summary>logits (rows, cols), labels, y, lse (rows).</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct ForwardArgs(
        ulong Logits, DevicePointer<int> Labels, DevicePointer<float> Y, DevicePointer<float> Lse, int Rows, int Cols);

    /// <summary>logits, dlogits (rows, cols), labels, lse, dy (rows). Accumulate 1 adds to dlogits.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct BackwardArgs(
        ulong Logits, DevicePointer<int> Labels, DevicePointer<float> Lse, DevicePointer<float> Dy, ulong Dlogits,
        int Rows, int Cols, int Accumulate);

    /// <summary>Queues y = logits[label] - log(sum(e^logits)), and lse, that logarithm.</summary>
    public static void Forward(CudaStream stream, in ForwardArgs args, bool bf16)
    {
        Kernel<ForwardArgs> kernel = bf16
            ? stream.Context.Modules.Kernel<ForwardArgs>("GatherLogProbsBf16", "gather_log_probs_forward_bf16")
            : stream.Context.Modules.Kernel<ForwardArgs>("GatherLogProbs", "gather_log_probs_forward_f32");
        kernel.Launch(stream, RowTeam.Shape(args.Rows, args.Cols, bf16, caches: 0), args);
    }

    /// <summary>Queues dlogits (+)= dy * (onehot(label) - softmax(logits)).</summary>
    public static void Backward(CudaStream stream, in BackwardArgs args, bool bf16)
    {
        Kernel<BackwardArgs> kernel = bf16
            ? stream.Context.Modules.Kernel<BackwardArgs>(
                "GatherLogProbsBackwardBf16", "gather_log_probs_backward_bf16")
            : stream.Context.Modules.Kernel<BackwardArgs>("GatherLogProbsBackward", "gather_log_probs_backward_f32");
        kernel.Launch(stream, RowTeam.Shape(args.Rows, args.Cols, bf16, caches: 0), args);
    }
}
