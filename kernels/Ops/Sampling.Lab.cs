using System.Runtime.InteropServices;
using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Ops;

/// <summary>Logits with equals, and the choice as a plain walk over a sorted list.</summary>
internal abstract unsafe class SamplingLab(bool bf16) : KernelLab
{
    private const ulong Seed = 0x123456789abcdef;
    private const int Step = 5, FirstRow = 2;

    public override IReadOnlyList<string> ShapeNames => ["rows", "vocabulary"];
    public override IReadOnlyList<int> DefaultShape => [3, 5003];

    protected bool Bf16 => bf16;

    // Steps of an eighth: many equal logits, none of them rounded in bf16.
    private static float[] Logits(LabInputs inputs, int count) =>
        [.. inputs.Values(count).Select(v => MathF.Round(16 * v) / 8)];

    // The host's sampler: candidates by falling logit, then id; or all in order of ids.
    private static int Choose(float[] logits, double temperature, int topK, double topP, int row)
    {
        float best = logits.Max();
        IEnumerable<int> ids = Enumerable.Range(0, logits.Length);
        if (topK > 0 || topP < 1) ids = ids.OrderByDescending(id => logits[id]);
        if (topK > 0) ids = ids.Take(topK);
        (int Id, double Weight)[] all =
            [.. ids.Select(id => (id, Math.Exp(((double)logits[id] - best) / temperature)))];
        (double total, double kept, int n) = (all.Sum(c => c.Weight), 0, 0);
        while (n < all.Length && kept < topP * total) kept += all[n++].Weight;
        uint* words = stackalloc uint[4];
        Philox.Block(Step, (ulong)row, Seed, words);
        double target = kept * ((((ulong)words[0] << 32) | words[1]) >> 11) / (1UL << 53);
        foreach ((int id, double weight) in all.AsSpan(0, n))
        {
            target -= weight;
            if (target < 0) return id;
        }
        return all[0].Id;
    }

    internal abstract class ArgmaxLab(bool bf16) : SamplingLab(bf16)
    {
        public override string Stem => "Argmax";
        public override string Entry => Bf16 ? "argmax_bf16" : "argmax_f32";
        public override string Summary => "the likeliest token, the lowest id of equals";
        public override Type Args => typeof(Sampling.ArgmaxArgs);

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int vocabulary) = (shape[0], shape[1]);
            float[] logits = Logits(inputs, rows * vocabulary);
            using var on = new LabTensor(inputs, logits, Bf16);
            using DeviceBuffer<int> ids = inputs.Empty<int>(rows);
            Sampling.Argmax(context.Stream, rows, new(on.Address, ids.Pointer, vocabulary), Bf16);
            double[] expected =
                [.. logits.Chunk(vocabulary).Select(row => (double)Array.IndexOf(row, row.Max()))];
            return Compare(rows, vocabulary, ids, expected);
        }
    }

    internal abstract class AllLab(bool bf16) : SamplingLab(bf16)
    {
        private const double Temperature = 0.8;

        public override string Stem => Bf16 ? "SampleAllBf16" : "SampleAll";
        public override string Entry => Bf16 ? "sample_all_bf16" : "sample_all_f32";
        public override string Summary => "a draw with temperature among all tokens, in order of ids";
        public override Type Args => typeof(Sampling.AllArgs);

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int vocabulary) = (shape[0], shape[1]);
            float[] logits = Logits(inputs, rows * vocabulary);
            using var on = new LabTensor(inputs, logits, Bf16);
            using DeviceBuffer<int> ids = inputs.Empty<int>(rows), step = context.Memory.Upload<int>([Step]);
            Sampling.All(
                context.Stream, rows,
                new(on.Address, ids.Pointer, step.Pointer, Seed, Temperature, vocabulary, FirstRow), Bf16);
            double[] expected =
                [.. logits.Chunk(vocabulary).Select((row, r) => (double)Choose(row, Temperature, 0, 1, FirstRow + r))];
            return Compare(rows, vocabulary, ids, expected);
        }
    }

    // Three settings; the last is the one that is reported.
    internal abstract class TopLab(bool bf16, bool pick) : SamplingLab(bf16)
    {
        private static readonly (double Temperature, int TopK, double TopP)[] Settings =
            [(1.2, 0, 0.7), (0.7, 1500, 0.99), (0.9, 40, 0.95)];

        public override string Stem => (pick ? "SamplePick" : "SampleCandidates") + (Bf16 ? "Bf16" : "");
        public override string Entry =>
            (pick ? "sample_pick" : "sample_candidates") + (Bf16 ? "_bf16" : "_f32");
        public override string Summary => pick
            ? "a draw among the sorted candidates that top-k and top-p keep" : "the candidates of top-k and top-p";
        public override Type Args => pick ? typeof(Sampling.PickArgs) : typeof(Sampling.CandidatesArgs);

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int vocabulary) = (shape[0], shape[1]);
            float[] logits = Logits(inputs, rows * vocabulary);
            int capacity = Sampling.Capacity(vocabulary);
            using var on = new LabTensor(inputs, logits, Bf16);
            using DeviceBuffer<int> ids = inputs.Empty<int>(rows), step = context.Memory.Upload<int>([Step]);
            using DeviceBuffer<ulong> keys = inputs.Empty<ulong>((long)rows * capacity);
            using DeviceBuffer<byte> notes = inputs.Empty<byte>(rows * Sampling.NoteBytes);
            LabRun? run = null;
            double error = 0;
            foreach ((double heat, int topK, double topP) in Settings)
            {
                Sampling.Candidates(
                    context.Stream, rows,
                    new(on.Address, keys.Pointer, notes.Pointer, heat, topP, vocabulary, topK, capacity), Bf16);
                if (pick)
                {
                    Sampling.Pick(
                        context.Stream, rows,
                        new(on.Address, ids.Pointer, keys.Pointer, notes.Pointer, step.Pointer, Seed, heat, topP,
                            vocabulary, FirstRow, topK, capacity),
                        Bf16);
                    double[] expected =
                    [
                        .. logits.Chunk(vocabulary)
                            .Select((row, r) => (double)Choose(row, heat, topK, topP, FirstRow + r)),
                    ];
                    run = Compare(rows, vocabulary, ids, expected);
                    error = Math.Max(error, run.Error);
                    continue;
                }
                // Every token that top-k could keep is among the candidates, each once.
                byte[] noted = notes.ToArray();
                ulong[] found = keys.ToArray();
                for (int r = 0; r < rows; r++)
                {
                    float[] row = logits[(r * vocabulary)..((r + 1) * vocabulary)];
                    int count = MemoryMarshal.Read<int>(noted.AsSpan(r * Sampling.NoteBytes + 8));
                    ulong[] ofRow = found[(r * capacity)..(r * capacity + count)];
                    HashSet<int> kept = [.. ofRow.Select(key => (int)(uint)key)];
                    int needed = topK == 0 ? 1 : Math.Min(topK, vocabulary);
                    bool all = Enumerable.Range(0, vocabulary).OrderByDescending(id => row[id]).Take(needed)
                        .All(kept.Contains);
                    if (!all || kept.Count != count) error = double.PositiveInfinity;
                }
            }
            return (run ?? new LabRun(Sampling.Shape(rows), 0, 0, Bytes(rows, vocabulary), 0)) with { Error = error };
        }
    }

    private long Bytes(int rows, int vocabulary) => (bf16 ? 2L : 4L) * rows * vocabulary + 4L * rows;

    private LabRun Compare(int rows, int vocabulary, DeviceBuffer<int> ids, double[] expected)
    {
        float[] actual = [.. ids.ToArray().Select(id => (float)id)];
        return new LabRun(Sampling.Shape(rows), Distance(actual, expected), 0, Bytes(rows, vocabulary), 0);
    }

    internal sealed class ArgmaxF32() : ArgmaxLab(bf16: false);
    internal sealed class ArgmaxBf16() : ArgmaxLab(bf16: true);
    internal sealed class AllF32() : AllLab(bf16: false);
    internal sealed class AllBf16() : AllLab(bf16: true);
    internal sealed class CandidatesF32() : TopLab(bf16: false, pick: false);
    internal sealed class CandidatesBf16() : TopLab(bf16: true, pick: false);
    internal sealed class PickF32() : TopLab(bf16: false, pick: true);
    internal sealed class PickBf16() : TopLab(bf16: true, pick: true);
}
