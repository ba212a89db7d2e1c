using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Cross-entropy of logits, f32 or bf16, against one label per row; the logits' memory becomes their gradient. Rows
/// whose label is outside the vocabulary, as -100, give no loss and no gradient.
/// </summary>
public static class CrossEntropy
{
    private const int SumBlock = 1024;

    /// <summary>
    /// logits (rows, cols), labels, losses (rows), scaleAt (1) or 0, a factor of scale. Gradient 1 overwrites the
    /// logits with scale * (softmax - onehot(label)).
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(
        ulong Logits, DevicePointer<int> Labels, DevicePointer<float> Losses, DevicePointer<float> ScaleAt, int Rows,
        int Cols, float Scale, int Gradient);

    /// <summary>losses (rows), y (1), scaleAt (1) or 0, a factor of scale.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct SumArgs(
        DevicePointer<float> Losses, DevicePointer<float> Y, DevicePointer<float> ScaleAt, int Rows, float Scale);

    /// <summary>dlogits (rows, cols), seed (1).</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct ScaleArgs(ulong Dlogits, DevicePointer<float> Seed, int Rows, int Cols);

    /// <summary>The sum: one block.</summary>
    public static LaunchShape SumShape => new(1, SumBlock);

    /// <summary>Queues the loss of each row and, where wanted, the gradient over the logits.</summary>
    public static void Rows(CudaStream stream, in Args args, bool bf16)
    {
        Kernel<Args> kernel = bf16
            ? stream.Context.Modules.Kernel<Args>("CrossEntropyBf16", "cross_entropy_bf16")
            : stream.Context.Modules.Kernel<Args>("CrossEntropy", "cross_entropy_f32");
        kernel.Launch(stream, RowTeam.Shape(args.Rows, args.Cols, bf16, caches: 1), args);
    }

    /// <summary>Queues y = scale * sum(losses).</summary>
    public static void Sum(CudaStream stream, in SumArgs args) =>
        stream.Context.Modules.Kernel<SumArgs>("CrossEntropySum", "cross_entropy_sum_f32")
            .Launch(stream, SumShape, args);

    /// <summary>Queues dlogits *= seed, a launch that touches no logit when seed is 1.</summary>
    public static void Scale(CudaStream stream, in ScaleArgs args, bool bf16) =>
        stream.Context.Modules
            .Kernel<ScaleArgs>("CrossEntropySum", bf16 ? "cross_entropy_scale_bf16" : "cross_entropy_scale_f32")
            .Launch(stream, RowTeam.Shape(args.Rows, args.Cols, bf16, caches: 0), args);
}
