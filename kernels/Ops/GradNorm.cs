using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// The norm over the gradients of all slots and the factor that clips it, in two launches of fixed order; both stay in
/// device memory, where <see cref="AdamW"/> reads them.
/// </summary>
public static class GradNorm
{
    private const int Block = 256;

    /// <summary>slots, chunks, partial: a sum of squares per chunk.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct SquaresArgs(
        DevicePointer<AdamW.Slot> Slots, DevicePointer<AdamW.Chunk> Chunks, DevicePointer<float> Partial);

    /// <summary>
    /// partial (count), state (1). MaxNorm 0 clips nothing; Guard 1 holds the step when the norm is not finite.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct FinishArgs(
        DevicePointer<float> Partial, DevicePointer<AdamW.State> State, double MaxNorm, int Count, int Guard);

    /// <summary>Queues the sums of squares.</summary>
    public static void Squares(CudaStream stream, int chunks, in SquaresArgs args) =>
        stream.Context.Modules.Kernel<SquaresArgs>("GradNorm", "grad_norm_squares_f32")
            .Launch(stream, new LaunchShape(chunks, Block), args);

    /// <summary>Queues norm, scale and hold.</summary>
    public static void Finish(CudaStream stream, in FinishArgs args) =>
        stream.Context.Modules.Kernel<FinishArgs>("GradNorm", "grad_norm_finish_f32")
            .Launch(stream, new LaunchShape(1, Block), args);
}
