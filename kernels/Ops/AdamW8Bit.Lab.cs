using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Two steps of three slots: one of vectors, one without a gradient, one of odd length and address; an infinite
/// gradient among them.
/// </summary>
internal sealed unsafe class AdamW8BitLab : KernelLab
{
    private const double Beta1 = 0.9, Beta2 = 0.999, Epsilon = 1e-8, Factor = 0.75;
    private const int StepsBefore = 6, Steps = 2;
    private const float Scale = 0.5f;

    private static readonly AdamW.Group[] Groups = [new(0.01, 0.1), new(0.003, 0)];

    public override string Stem => "AdamW8Bit";
    public override string Entry => "adamw_8bit_f32";
    public override string Summary => "p and the 8-bit moments of every slot; the CPU's bits";
    public override Type Args => typeof(AdamW8Bit.StepArgs);
    public override IReadOnlyList<string> ShapeNames => ["n"];
    public override IReadOnlyList<int> DefaultShape => [5000];
    public override IReadOnlyList<int> BenchShape => [4_000_000];
    public override string? Note =>
        "a block reads the maps, 2 KiB from L2; the last steps of a search read whatever entries the values ask for";

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int n, int odd) = (shape[0], (shape[0] / 2) + 3);
        using Moments even = new(inputs, n), still = new(inputs, n), ragged = new(inputs.Shifted(1), odd);
        Moments[] all = [even, still, ragged];
        AdamW.Slot[] table = [.. all.Select((moments, i) => moments.Slot(i % 2))];
        table[1] = table[1] with { G = 0 };
        AdamW.Chunk[] chunks = AdamW.Chunks([n, n, odd]);
        using DeviceBuffer<AdamW.Slot> slots = inputs.Upload(table);
        using DeviceBuffer<AdamW8Bit.Scales> scales = inputs.Upload(all.Select(moments => moments.Scales).ToArray());
        using DeviceBuffer<AdamW.Chunk> chunksOn = inputs.Upload(chunks);
        using DeviceBuffer<AdamW.Group> groups = inputs.Upload(Groups);
        using DeviceBuffer<float> maps = inputs.Upload(AdamW8Bit.Maps());
        using DeviceBuffer<AdamW.State> state =
            inputs.Upload<AdamW.State>([new(Factor, StepsBefore, 0, 0, Scale, 0, 0)]);
        for (int step = 0; step < Steps; step++)
        {
            AdamW.Begin(context.Stream, new(groups.Pointer, state.Pointer, Beta1, Beta2, Epsilon, Groups.Length));
            AdamW8Bit.Step(
                context.Stream, chunks.Length,
                new(
                    slots.Pointer, scales.Pointer, chunksOn.Pointer, groups.Pointer, state.Pointer, maps.Pointer,
                    (float)Beta1, 1 - (float)Beta1, (float)Beta2, 1 - (float)Beta2));
        }
        double error = 0;
        foreach ((Moments moments, AdamW.Slot slot) in all.Zip(table))
        {
            for (int step = 1; step <= Steps && slot.G != 0; step++)
            {
                AdamW.Group group = Groups[slot.Group];
                moments.StepOnHost(new AdamWStep(
                    group.LearningRate * Factor, Beta1, Beta2, Epsilon, group.WeightDecay, StepsBefore + step, Scale));
            }
            error = Math.Max(error, moments.Error());
        }
        // The same operations in the same order, none fused: the same bits.
        return new LabRun(AdamW8Bit.Shape(chunks.Length), error, 0, 16L * (n + odd), 60.0 * (n + odd));
    }

    // A parameter, its gradient and its coded moments, on the host and on the device.
    private sealed class Moments : IDisposable
    {
        private readonly LabTensor p, g;
        private readonly float[] hostP, hostG, hostMScales, hostVScales;
        private readonly byte[] hostM, hostV;
        private readonly DeviceBuffer<byte> m, v;
        private readonly DeviceBuffer<float> mScales, vScales;
        private readonly int shift;

        public Moments(LabInputs inputs, int count)
        {
            shift = inputs.Shift;
            (hostP, hostG) = (inputs.Values(count), inputs.Values(count));
            hostG[count / 3] = float.PositiveInfinity;
            // Any codes are moments.
            int blocks = (count + AdamW8BitKernel.BlockSize - 1) / AdamW8BitKernel.BlockSize;
            hostM = [.. inputs.Values(count).Select(x => (byte)(127 + (60 * x)))];
            hostV = [.. inputs.Values(count).Select(x => (byte)(100 * Math.Abs(x)))];
            hostMScales = [.. inputs.Values(blocks).Select(Math.Abs)];
            hostVScales = [.. inputs.Values(blocks).Select(Math.Abs)];
            (p, g) = (new LabTensor(inputs, hostP, bf16: false), new LabTensor(inputs, hostG, bf16: false));
            byte[] gap = new byte[shift];
            (m, v) = (inputs.Upload<byte>([.. gap, .. hostM]), inputs.Upload<byte>([.. gap, .. hostV]));
            (mScales, vScales) = (inputs.Upload(hostMScales), inputs.Upload(hostVScales));
        }

        public AdamW8Bit.Scales Scales => new(mScales.Pointer.Address, vScales.Pointer.Address);

        public AdamW.Slot Slot(int group) => new(
            p.Address, g.Address, (m.Pointer + shift).Address, (v.Pointer + shift).Address, hostP.Length, group);

        public void StepOnHost(AdamWStep step)
        {
            fixed (float* at = hostP, gradient = hostG, ms = hostMScales, vs = hostVScales)
            fixed (byte* mc = hostM, vc = hostV)
                AdamW8BitKernel.Step(at, gradient, mc, ms, vc, vs, hostP.Length, step);
        }

        public double Error()
        {
            double worst = Math.Max(
                Distance(p.ToArray(), [.. hostP.Select(x => (double)x)]),
                Math.Max(
                    Distance(mScales.ToArray(), [.. hostMScales.Select(x => (double)x)]),
                    Distance(vScales.ToArray(), [.. hostVScales.Select(x => (double)x)])));
            bool same = m.ToArray().AsSpan(shift).SequenceEqual(hostM)
                && v.ToArray().AsSpan(shift).SequenceEqual(hostV);
            return same ? worst : double.PositiveInfinity;
        }

        public void Dispose()
        {
            p.Dispose();
            g.Dispose();
            m.Dispose();
            v.Dispose();
            mScales.Dispose();
            vScales.Dispose();
        }
    }
}
