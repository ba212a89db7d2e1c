using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// AdamW over all parameters in one launch. What changes from step to step lives in device memory: a captured launch
/// can be replayed.
/// </summary>
public static class AdamW
{
    /// <summary>Elements that one block updates.</summary>
    public const int ChunkSize = 4096;

    private const int Block = 256;

    /// <summary>What steps share, in device memory.</summary>
    /// <param name="Factor">Of every rate: the schedule's. Set by the host.</param>
    /// <param name="Step">Number of steps taken.</param>
    /// <param name="RootEpsilon">epsilon sqrt(1 - beta2^step), set by <see cref="Begin"/>.</param>
    /// <param name="InverseRoot">1 / sqrt(1 - beta2^step), set by <see cref="Begin"/>.</param>
    /// <param name="Scale">Factor of the gradients: 1, or what <see cref="GradNorm.Finish"/> sets.</param>
    /// <param name="Norm">The gradients' norm.</param>
    /// <param name="Hold">Not 0: nothing is updated.</param>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct State(
        double Factor, int Step, float RootEpsilon, float InverseRoot, float Scale, float Norm, int Hold);

    /// <summary>A group of parameters, in device memory.</summary>
    /// <param name="LearningRate">Before the schedule's factor.</param>
    /// <param name="WeightDecay">Decoupled.</param>
    /// <param name="Keep">1 - rate decay, set by <see cref="Begin"/>.</param>
    /// <param name="Rate">- rate / (1 - beta1^step), set by <see cref="Begin"/>.</param>
    /// <param name="RootRate">Rate sqrt(1 - beta2^step), set by <see cref="Begin"/>.</param>
    /// <param name="Unused">Keeps the layout.</param>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Group(
        double LearningRate, double WeightDecay, float Keep = 0, float Rate = 0, float RootRate = 0, int Unused = 0);

    /// <summary>
    /// A parameter, its gradient (0 when there is none), its moments, all (count) f32, and the index of its group.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Slot(ulong P, ulong G, ulong M, ulong V, long Count, int Group, int Unused = 0);

    /// <summary>Elements [4096 index, 4096 index + 4096) of a slot.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Chunk(int Slot, int Index);

    /// <summary>slots, chunks, groups, state (1); blend1 = 1 - beta1, blend2 = 1 - beta2.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct StepArgs(
        DevicePointer<Slot> Slots, DevicePointer<Chunk> Chunks, DevicePointer<Group> Groups,
        DevicePointer<State> State, float Blend1, float Beta2, float Blend2, float Epsilon);

    /// <summary>groups (groupCount), state (1).</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct BeginArgs(
        DevicePointer<Group> Groups, DevicePointer<State> State, double Beta1, double Beta2, double Epsilon,
        int GroupCount);

    /// <summary>The chunks of slots with these numbers of elements, in their order.</summary>
    public static Chunk[] Chunks(ReadOnlySpan<long> counts)
    {
        var chunks = new List<Chunk>();
        for (int slot = 0; slot < counts.Length; slot++)
        {
            for (long at = 0; at < counts[slot]; at += ChunkSize) chunks.Add(new(slot, (int)(at / ChunkSize)));
        }
        return [.. chunks];
    }

    /// <summary>The step: a block per chunk.</summary>
    public static LaunchShape StepShape(int chunks) => new(chunks, Block);

    /// <summary>Queues the start of a step: its number and its factors.</summary>
    public static void Begin(CudaStream stream, in BeginArgs args) =>
        stream.Context.Modules.Kernel<BeginArgs>("AdamW", "adamw_begin_f32")
            .Launch(stream, new LaunchShape(1, 32), args);

    /// <summary>Queues the update of all slots.</summary>
    public static void Step(CudaStream stream, int chunks, in StepArgs args) =>
        stream.Context.Modules.Kernel<StepArgs>("AdamW", "adamw_f32").Launch(stream, StepShape(chunks), args);
}
