using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

internal sealed class GradNormSquaresLab : KernelLab
{
    public override string Stem => "GradNorm";
    public override string Entry => "grad_norm_squares_f32";
    public override string Summary => "a sum of squares per chunk of 4096 elements";
    public override Type Args => typeof(GradNorm.SquaresArgs);
    public override IReadOnlyList<string> ShapeNames => ["n"];
    public override IReadOnlyList<int> DefaultShape => [9000];
    public override IReadOnlyList<int> BenchShape => [4_000_000];
    public override string? Note => "every thread reads its block's line of the tables: a few sectors a warp";

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int n, int odd) = (shape[0], shape[0] / 2 + 3);
        using var slots = new LabSlots(inputs, [n, n, odd]);
        AdamW.Slot[] table = slots.Table;
        table[1] = table[1] with { G = 0 };
        AdamW.Chunk[] chunks = AdamW.Chunks([n, n, odd]);
        using DeviceBuffer<AdamW.Slot> slotsOn = context.Memory.Upload<AdamW.Slot>(table);
        using DeviceBuffer<AdamW.Chunk> chunksOn = context.Memory.Upload<AdamW.Chunk>(chunks);
        using DeviceBuffer<float> partial = inputs.Empty<float>(chunks.Length);
        GradNorm.Squares(context.Stream, chunks.Length, new(slotsOn.Pointer, chunksOn.Pointer, partial.Pointer));
        double[] expected =
        [
            .. chunks.Select(chunk => table[chunk.Slot].G == 0 ? 0 : slots.Host(chunk.Slot)[1]
                .Skip(chunk.Index * AdamW.ChunkSize).Take(AdamW.ChunkSize).Sum(g => (double)g * g)),
        ];
        return new LabRun(
            new(chunks.Length, 256), Distance(partial.ToArray(), expected), 1e-6,
            4L * (n + odd + chunks.Length) + 8L * chunks.Length, 2.0 * (n + odd));
    }
}

internal sealed class GradNormFinishLab : KernelLab
{
    private const double MaxNorm = 1.5;

    public override string Stem => "GradNorm";
    public override string Entry => "grad_norm_finish_f32";
    public override string Summary => "norm, clip scale and hold from the partial sums";
    public override Type Args => typeof(GradNorm.FinishArgs);
    public override IReadOnlyList<string> ShapeNames => ["chunks"];
    public override IReadOnlyList<int> DefaultShape => [700];
    public override IReadOnlyList<int> BenchShape => [10_000];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        int count = shape[0];
        float[] partial = [.. inputs.Values(count).Select(v => v * v)];
        partial[0] += 4;
        using DeviceBuffer<float> from = inputs.Device(partial);
        double norm = Math.Sqrt(partial.Sum(v => (double)v));
        var (actual, expected) = (new List<float>(), new List<double>());
        // A norm that is not finite first: the launch that is reported comes last.
        using (DeviceBuffer<float> broken = inputs.Device([1, float.NaN]))
        {
            AdamW.State held = Finish(broken, 2, MaxNorm, guard: 1), free = Finish(broken, 2, MaxNorm, guard: 0);
            actual.AddRange([held.Hold, free.Hold]);
            expected.AddRange([1, 0]);
        }
        foreach (double limit in new[] { 0, 2 * norm, MaxNorm })
        {
            AdamW.State state = Finish(from, count, limit, guard: 1);
            actual.AddRange([state.Norm, state.Scale, state.Hold, state.Step]);
            expected.AddRange([norm, limit > 0 ? Math.Min(1, limit / (norm + 1e-6)) : 1, 0, 3]);
        }
        return new LabRun(
            new LaunchShape(1, 256), Distance(actual.ToArray(), expected.ToArray()), 1e-7, 4L * (count + 3), count);

        AdamW.State Finish(DeviceBuffer<float> sums, int n, double limit, int guard)
        {
            using DeviceBuffer<AdamW.State> state = context.Memory.Upload<AdamW.State>([new(1, 3, 0, 1, 1, 0, 1)]);
            GradNorm.Finish(context.Stream, new(sums.Pointer, state.Pointer, limit, n, guard));
            return state.ToArray()[0];
        }
    }
}
