using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// AdamW whose moments are 8-bit codes (<see cref="AdamW8BitKernel"/> on the CPU), over all parameters in one launch.
/// Tables and the factors of a step are those of <see cref="AdamW"/>.
/// </summary>
public static class AdamW8Bit
{
    private const int Block = 256;

    /// <summary>Where the scales of a slot's moments are: f32, one per 256 values.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Scales(ulong M, ulong V);

    /// <summary>
    /// slots, whose m and v are codes, with their scales; chunks, groups, state (1); maps (512), <see cref="Maps"/>;
    /// blend1 = 1 - beta1, blend2 = 1 - beta2.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct StepArgs(
        DevicePointer<AdamW.Slot> Slots, DevicePointer<Scales> Scales, DevicePointer<AdamW.Chunk> Chunks,
        DevicePointer<AdamW.Group> Groups, DevicePointer<AdamW.State> State, DevicePointer<float> Maps, float Beta1,
        float Blend1, float Beta2, float Blend2);

    /// <summary>The signed dynamic map, then the unsigned one.</summary>
    public static float[] Maps() => [.. QuantTables.SignedDynamic, .. QuantTables.UnsignedDynamic];

    /// <summary>A block per chunk.</summary>
    public static LaunchShape Shape(int chunks) => new(chunks, Block);

    /// <summary>Queues the update, after <see cref="AdamW.Begin"/>.</summary>
    public static void Step(CudaStream stream, int chunks, in StepArgs args) =>
        stream.Context.Modules.Kernel<StepArgs>("AdamW8Bit", "adamw_8bit_f32").Launch(stream, Shape(chunks), args);
}
