using System.Runtime.InteropServices;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;
using Kernel = CudaLora.Kernels.Ops.AdamW;

namespace CudaLora.Engine;

/// <summary>
/// AdamW on a CUDA device: one launch over all parameters. Tables of addresses and everything that changes from step to
/// step live in device memory, so that a captured step can be replayed.
/// </summary>
internal sealed unsafe class CudaAdamW : IDisposable
{
    private readonly CudaDevice device;
    private readonly AdamW optimizer;
    private readonly Kernel.Slot[] slots;
    private readonly Parameter[] parameters;
    private readonly int chunkCount;
    private readonly DeviceBuffer<Kernel.Slot> slotTable;
    private readonly DeviceBuffer<Kernel.Chunk> chunks;
    private readonly DeviceBuffer<Kernel.Group> groups;
    private readonly DeviceBuffer<Kernel.State> state;
    private readonly DeviceBuffer<float> partial;
    private readonly Kernel.Group[] rates;

    public CudaAdamW(
        AdamW optimizer, CudaDevice device, IReadOnlyList<(Parameter Parameter, int Group, Tensor M, Tensor V)> trained)
    {
        (this.optimizer, this.device) = (optimizer, device);
        parameters = [.. trained.Select(t => t.Parameter)];
        slots =
        [
            .. trained.Select(t => new Kernel.Slot(
                t.Parameter.Value.DeviceAddress, 0, t.M.DeviceAddress, t.V.DeviceAddress, t.Parameter.Value.Count,
                t.Group)),
        ];
        rates = new Kernel.Group[optimizer.Groups.Count];
        var memory = device.Context.Memory;
        Kernel.Chunk[] plan = Kernel.Chunks([.. slots.Select(slot => slot.Count)]);
        chunkCount = plan.Length;
        slotTable = memory.Allocate<Kernel.Slot>(Math.Max(1, slots.Length));
        chunks = memory.Allocate<Kernel.Chunk>(Math.Max(1, chunkCount));
        chunks.Upload(plan);
        groups = memory.Allocate<Kernel.Group>(Math.Max(1, rates.Length));
        state = memory.Allocate<Kernel.State>(1);
        partial = memory.Allocate<float>(Math.Max(1, chunkCount));
    }

    /// <summary>Writes what the host decides for the next step.</summary>
    public void Begin(double rateFactor, int stepsTaken, double gradientScale)
    {
        for (var i = 0; i < rates.Length; i++)
            rates[i] = new Kernel.Group(optimizer.Groups[i].LearningRate, optimizer.Groups[i].WeightDecay);
        groups.Upload(rates);
        state.Upload([new Kernel.State(rateFactor, stepsTaken, 0, 0, (float)gradientScale, 0, 0)]);
    }

    /// <summary>Queues the norm and the factor that clips to it; a norm that is not finite holds the update.</summary>
    public void QueueClip(double maxNorm)
    {
        UpdateTable();
        if (chunkCount == 0)
            return;
        GradNorm.Squares(device.Stream, chunkCount, new(slotTable.Pointer, chunks.Pointer, partial.Pointer));
        GradNorm.Finish(device.Stream, new(partial.Pointer, state.Pointer, maxNorm, chunkCount, Guard: 1));
    }

    /// <summary>Queues the update.</summary>
    public void QueueStep()
    {
        UpdateTable();
        if (chunkCount == 0)
            return;
        Kernel.Begin(
            device.Stream, new(
                groups.Pointer, state.Pointer, optimizer.Beta1, optimizer.Beta2, optimizer.Epsilon, rates.Length));
        Kernel.Step(
            device.Stream, chunkCount,
            new(
                slotTable.Pointer, chunks.Pointer, groups.Pointer, state.Pointer, (float)(1 - optimizer.Beta1),
                (float)optimizer.Beta2, (float)(1 - optimizer.Beta2), (float)optimizer.Epsilon));
    }

    /// <summary>Waits, and reads the norm and whether the step was held.</summary>
    public (double Norm, bool Held) End()
    {
        Kernel.State after = default;
        state.Download(MemoryMarshal.CreateSpan(ref after, 1));
        return (after.Norm, after.Hold != 0);
    }

    public void Dispose()
    {
        slotTable.Dispose();
        chunks.Dispose();
        groups.Dispose();
        state.Dispose();
        partial.Dispose();
    }

    // Gradients get their memory in the first backward and keep it; a captured step finds the table as it is.
    private void UpdateTable()
    {
        var changed = false;
        for (var i = 0; i < slots.Length; i++)
        {
            var gradient = parameters[i].Trainable ? parameters[i].Value.Grad?.DeviceAddress ?? 0 : 0;
            if (slots[i].G == gradient)
                continue;
            slots[i] = slots[i] with { G = gradient };
            changed = true;
        }
        if (changed)
            slotTable.Upload(slots);
    }
}
