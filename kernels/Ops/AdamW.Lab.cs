using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Ops;

/// <summary>Two groups, three slots: one of vectors, one without a gradient, one of odd length and address.</summary>
internal abstract unsafe class AdamWLab(string entry) : KernelLab
{
    protected const double Beta1 = 0.9, Beta2 = 0.999, Epsilon = 1e-8, Factor = 0.75;

    protected static readonly AdamW.Group[] Groups = [new(0.01, 0.1), new(0.003, 0)];

    public override string Stem => "AdamW";
    public override string Entry => entry;
    public override IReadOnlyList<string> ShapeNames => ["n"];
    public override IReadOnlyList<int> DefaultShape => [5000];
    public override IReadOnlyList<int> BenchShape => [4_000_000];
    public override string? Note => "every thread reads its block's line of the tables: a few sectors a warp";

    internal sealed class Step() : AdamWLab("adamw_f32")
    {
        private const int StepsBefore = 6;
        private const float Scale = 0.5f;

        public override string Summary => "p, m and v of every slot; same arithmetic as the CPU";
        public override Type Args => typeof(AdamW.StepArgs);

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int n, int odd) = (shape[0], shape[0] / 2 + 3);
            using var slots = new LabSlots(inputs, [n, n, odd]);
            AdamW.Slot[] table = slots.Table;
            table[1] = table[1] with { G = 0 };
            AdamW.Chunk[] chunks = AdamW.Chunks([n, n, odd]);
            using DeviceBuffer<AdamW.Slot> slotsOn = context.Memory.Upload<AdamW.Slot>(table);
            using DeviceBuffer<AdamW.Chunk> chunksOn = context.Memory.Upload<AdamW.Chunk>(chunks);
            using DeviceBuffer<AdamW.Group> groups = context.Memory.Upload<AdamW.Group>(Groups);
            using DeviceBuffer<AdamW.State> state =
                context.Memory.Upload<AdamW.State>([new(Factor, StepsBefore, 0, 0, Scale, 0, 0)]);
            AdamW.Begin(context.Stream, new(groups.Pointer, state.Pointer, Beta1, Beta2, Epsilon, Groups.Length));
            AdamW.Step(
                context.Stream, chunks.Length,
                new(slotsOn.Pointer, chunksOn.Pointer, groups.Pointer, state.Pointer, (float)(1 - Beta1),
                    (float)Beta2, (float)(1 - Beta2), (float)Epsilon));
            double error = 0;
            for (int s = 0; s < 3; s++)
            {
                float[][] host = slots.Host(s);
                AdamW.Group group = Groups[table[s].Group];
                var step = new AdamWStep(
                    group.LearningRate * Factor, Beta1, Beta2, Epsilon, group.WeightDecay, StepsBefore + 1, Scale);
                fixed (float* p = host[0], g = host[1], m = host[2], v = host[3])
                {
                    if (table[s].G != 0) AdamWKernel.Step(p, g, m, v, host[0].Length, step);
                }
                float[][] device = slots.Device(s);
                for (int part = 0; part < 4; part++)
                    error = Math.Max(error, Distance(device[part], [.. host[part].Select(x => (double)x)]));
            }
            // The same operations in the same order, but for a fused step here or there.
            return new LabRun(AdamW.StepShape(chunks.Length), error, 1e-6, 28L * (n + odd), 15.0 * (n + odd));
        }
    }

    internal sealed class Begin() : AdamWLab("adamw_begin_f32")
    {
        public override string Summary => "counts the step; factors of the step and of each group";
        public override Type Args => typeof(AdamW.BeginArgs);
        public override IReadOnlyList<string> ShapeNames => ["step"];
        public override IReadOnlyList<int> DefaultShape => [1000];
        public override IReadOnlyList<int> BenchShape => DefaultShape;

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            int step = shape[0];
            AdamW.Group[] many =
                [.. Enumerable.Range(0, 40).Select(i => Groups[i % 2] with { LearningRate = 0.1 / (i + 1) })];
            using DeviceBuffer<AdamW.Group> groups = context.Memory.Upload<AdamW.Group>(many);
            using DeviceBuffer<AdamW.State> state =
                context.Memory.Upload<AdamW.State>([new(Factor, step - 1, 0, 0, 1, 0, 0)]);
            AdamW.Begin(context.Stream, new(groups.Pointer, state.Pointer, Beta1, Beta2, Epsilon, many.Length));
            AdamW.State after = state.ToArray()[0];
            double root = Math.Sqrt(1 - Math.Pow(Beta2, step));
            List<float> actual = [after.Step, after.InverseRoot, after.RootEpsilon / (float)Epsilon];
            List<double> expected = [step, 1 / root, root];
            foreach ((AdamW.Group given, AdamW.Group made) in many.Zip(groups.ToArray()))
            {
                double rate = given.LearningRate * Factor;
                double corrected = -rate / (1 - Math.Pow(Beta1, step));
                actual.AddRange([made.Keep, made.Rate, made.RootRate]);
                expected.AddRange([1 - rate * given.WeightDecay, corrected, corrected * root]);
            }
            // Rounded once from double; epsilon's share is divided by a rounded epsilon once more.
            return new LabRun(
                new(1, 32), Distance(actual.ToArray(), expected.ToArray()), 1.5e-7, 28L * many.Length + 28, 0);
        }
    }
}

/// <summary>Slots with random contents, kept on the host too.</summary>
internal sealed class LabSlots : IDisposable
{
    private readonly LabTensor[][] tensors;
    private readonly float[][][] values;

    public LabSlots(LabInputs inputs, int[] counts)
    {
        values = [.. counts.Select(n => Enumerable.Range(0, 4).Select(part => Values(inputs, n, part)).ToArray())];
        // The last slot starts off a 16-byte boundary.
        tensors =
        [
            .. values.Select((parts, s) => parts
                .Select(part => new LabTensor(s == counts.Length - 1 ? inputs.Shifted(1) : inputs, part, bf16: false))
                .ToArray()),
        ];
        Table = [.. tensors.Select((t, s) => new AdamW.Slot(
            t[0].Address, t[1].Address, t[2].Address, t[3].Address, counts[s], s % 2))];
    }

    public AdamW.Slot[] Table { get; }

    public float[][] Host(int slot) => values[slot];

    public float[][] Device(int slot) => [.. tensors[slot].Select(t => t.ToArray())];

    public void Dispose()
    {
        foreach (LabTensor[] parts in tensors)
        {
            foreach (LabTensor part in parts) part.Dispose();
        }
    }

    // p, g, m, v; second moments are not negative.
    private static float[] Values(LabInputs inputs, int count, int part) =>
        [.. inputs.Values(count).Select(v => part == 3 ? v * v : v)];
}
