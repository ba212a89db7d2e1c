using System.Runtime.InteropServices;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;
using Kernel = CudaLora.Kernels.Ops.AdamW;

namespace CudaLora.Engine;

/// <summary>
/// AdamW on a CUDA device: one launch over all parameters for each kind of moments, F32 and 8-bit, or one per page of
/// paged ones. Tables of addresses and everything that changes from step to step live in device memory, so that a
/// captured step can be replayed.
/// </summary>
internal sealed class CudaAdamW : IDisposable
{
    private readonly CudaDevice device;
    private readonly AdamW optimizer;
    private readonly Parameter[] parameters;
    private readonly MomentPages? pages;
    private readonly IReadOnlyList<MomentPiece> pieces;
    private readonly Kernel.Slot[] slots;
    private readonly Launches[] launches; // by page
    private readonly int chunkCount;
    private readonly DeviceBuffer<Kernel.Slot> slotTable;
    private readonly DeviceBuffer<AdamW8Bit.Scales> scales;
    private readonly DeviceBuffer<Kernel.Chunk> chunks;
    private readonly DeviceBuffer<Kernel.Group> groups;
    private readonly DeviceBuffer<Kernel.State> state;
    private readonly DeviceBuffer<float> partial;
    private readonly DeviceBuffer<float> maps;
    private readonly Kernel.Group[] rates;
    private readonly Action<int> update;

    public CudaAdamW(
        AdamW optimizer, CudaDevice device, IEnumerable<(Parameter Parameter, int Group, Moments Moments)> trained,
        long pageBytes)
    {
        (this.optimizer, this.device) = (optimizer, device);
        // F32 moments first: the chunks of either kind are a range.
        var order = trained.OrderBy(t => t.Moments.EightBit).ToArray();
        parameters = [.. order.Select(t => t.Parameter)];
        if (pageBytes > 0)
        {
            pages = new MomentPages(
                device, [.. order.Select(t => t.Moments)], [.. parameters.Select(p => p.Value.Count)], pageBytes);
            pieces = pages.Pieces;
        }
        else
        {
            foreach (var (_, _, moments) in order)
                moments.Place(device);
            pieces = [.. order.Select((t, i) => Whole(i, t.Parameter, t.Moments))];
        }
        slots =
        [
            .. pieces.Select(piece => new Kernel.Slot(
                AddressOf(parameters[piece.Parameter].Value, piece), 0, piece.M, piece.V, piece.Count,
                order[piece.Parameter].Group)),
        ];
        rates = new Kernel.Group[optimizer.Groups.Count];
        Kernel.Chunk[] plan = Kernel.Chunks([.. slots.Select(slot => slot.Count)]);
        chunkCount = plan.Length;
        launches = [.. Plan(plan)];
        var memory = device.Context.Memory;
        slotTable = memory.Allocate<Kernel.Slot>(Math.Max(1, slots.Length));
        scales = memory.Upload<AdamW8Bit.Scales>(
            [.. pieces.Select(piece => new AdamW8Bit.Scales(piece.MScales, piece.VScales))]);
        chunks = memory.Allocate<Kernel.Chunk>(Math.Max(1, chunkCount));
        chunks.Upload(plan);
        groups = memory.Allocate<Kernel.Group>(Math.Max(1, rates.Length));
        state = memory.Allocate<Kernel.State>(1);
        partial = memory.Allocate<float>(Math.Max(1, chunkCount));
        maps = memory.Upload<float>(AdamW8Bit.Maps());
        update = Update;
    }

    /// <summary>Writes what the host decides for the next step.</summary>
    public void Begin(double rateFactor, int stepsTaken, double gradientScale)
    {
        for (var i = 0; i < rates.Length; i++)
            rates[i] = new Kernel.Group(optimizer.Groups[i].LearningRate, optimizer.Groups[i].WeightDecay);
        groups.Upload(rates);
        state.Upload([new Kernel.State(rateFactor, stepsTaken, 0, 0, (float)gradientScale, 0, 0)]);
    }

    /// <summary>
    /// Queues the update; before it, unless <paramref name="maxNorm"/> is null, the norm and the factor that clips to
    /// it: a norm that is not finite holds the update.
    /// </summary>
    public void QueueStep(double? maxNorm)
    {
        UpdateTable();
        if (chunkCount == 0)
            return;
        if (maxNorm is { } most)
        {
            GradNorm.Squares(device.Stream, chunkCount, new(slotTable.Pointer, chunks.Pointer, partial.Pointer));
            GradNorm.Finish(device.Stream, new(partial.Pointer, state.Pointer, most, chunkCount, Guard: 1));
        }
        Kernel.Begin(
            device.Stream,
            new(
                groups.Pointer, state.Pointer, optimizer.Beta1, optimizer.Beta2, optimizer.Epsilon, rates.Length));
        if (pages is null)
            Update(0);
        else
            pages.Run(update);
    }

    /// <summary>Queues the copies of paged moments to the device, as far as there is room.</summary>
    public void Prefetch()
    {
        if (chunkCount > 0)
            pages?.Prefetch();
    }

    /// <summary>Waits until paged moments are in host memory.</summary>
    public void Settle() => pages?.Settle();

    /// <summary>Waits, and reads the norm and whether the step was held.</summary>
    public (double Norm, bool Held) End()
    {
        Kernel.State after = default;
        state.Download(MemoryMarshal.CreateSpan(ref after, 1));
        return (after.Norm, after.Hold != 0);
    }

    public void Dispose()
    {
        pages?.Dispose();
        slotTable.Dispose();
        scales.Dispose();
        chunks.Dispose();
        groups.Dispose();
        state.Dispose();
        partial.Dispose();
        maps.Dispose();
    }

    private void Update(int page)
    {
        var (first, wide, coded) = launches[page];
        var (b1, b2) = ((float)optimizer.Beta1, (float)optimizer.Beta2);
        if (wide > 0)
        {
            Kernel.Step(
                device.Stream, wide,
                new(
                    slotTable.Pointer, chunks.Pointer + first, groups.Pointer, state.Pointer,
                    (float)(1 - optimizer.Beta1), b2, (float)(1 - optimizer.Beta2), (float)optimizer.Epsilon));
        }
        if (coded > 0)
        {
            AdamW8Bit.Step(
                device.Stream, coded,
                new(
                    slotTable.Pointer, scales.Pointer, chunks.Pointer + first + wide, groups.Pointer, state.Pointer,
                    maps.Pointer, b1, 1 - b1, b2, 1 - b2));
        }
    }

    // The range of chunks of every page: those with F32 moments, then those with codes.
    private IEnumerable<Launches> Plan(Kernel.Chunk[] plan)
    {
        var (piece, chunk) = (0, 0);
        foreach (var count in pages?.PieceCounts ?? [pieces.Count])
        {
            piece += count;
            var (first, wide) = (chunk, 0);
            for (; chunk < plan.Length && plan[chunk].Slot < piece; chunk++)
                wide += pieces[plan[chunk].Slot].EightBit ? 0 : 1;
            yield return new Launches(first, wide, chunk - first - wide);
        }
    }

    // Gradients get their memory in the first backward and keep it; a captured step finds the table as it is.
    private void UpdateTable()
    {
        var changed = false;
        for (var i = 0; i < slots.Length; i++)
        {
            var parameter = parameters[pieces[i].Parameter];
            var gradient = parameter.Trainable && parameter.Value.Grad is { } grad ? AddressOf(grad, pieces[i]) : 0;
            if (slots[i].G == gradient)
                continue;
            slots[i] = slots[i] with { G = gradient };
            changed = true;
        }
        if (changed)
            slotTable.Upload(slots);
    }

    private static ulong AddressOf(Tensor tensor, MomentPiece piece) =>
        tensor.DeviceAddress + (ulong)(piece.First * sizeof(float));

    private static MomentPiece Whole(int index, Parameter parameter, Moments moments) => MomentPiece.Of(
        index, 0, parameter.Value.Count, [.. moments.State().Select(part => part.Value.DeviceAddress)]);

    private readonly record struct Launches(int First, int Wide, int Coded);
}
