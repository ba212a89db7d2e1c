using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>
/// Is the update of fine-tuning of low rank, and do adapters of different rank find the same directions? Spectra of a
/// middle block, and the paper's subspace similarity of r = 8 and r = 64 (Hu et al. 2021, section 7).
/// </summary>
internal sealed class RankExperiment() : LabExperiment(
    "rank", "Singular values of weights, of the full update and of B A; subspaces of r = 8 and r = 64",
    "The weights of the middle block, what full training adds to them (full update), and what LoRA adds (B A). The "
    + "effective rank, e to the entropy of the singular values, says how many directions take part. The similarity of i "
    + "directions of one matrix and j of another is 1 where one span holds the other and 0 where they are orthogonal; "
    + "a heat map shows it for every i, downwards, and j, to the right.")
{
    private const int Small = 8;
    private const int Large = 64;

    public override LabReport Run(LabOptions options)
    {
        var steps = options.Steps(60, 300);
        var (weights, full, fullLoss) = Full(options, steps);
        var small = Lora(options, steps, Small, options.Seed);
        // Another seed: otherwise the first rows of both A begin alike.
        var large = Lora(options, steps, Large, options.Seed + 1000);
        Layer[] layers = [.. weights.Keys.Select(path =>
            new Layer(path, weights[path], full[path], small.Layers[path], large.Layers[path]))];
        Layer[] shown = [.. layers.Where(l => l.Kind is "q_proj" or "v_proj" or "c_attn")];
        if (shown.Length == 0) shown = [layers[0]];

        var numbers = new JsonObject
        {
            ["steps"] = steps,
            ["held_out_loss"] = new JsonObject
            {
                ["full"] = fullLoss,
                ["r8"] = small.Loss,
                ["r64"] = large.Loss,
            },
            ["layers"] = new JsonArray([.. layers.Select(l => l.ToJson())]),
        };
        return new LabReport(
            Name, "Rank: of weights, of their update, of the adapter", numbers,
            [EffectiveRanks(layers, steps), Subspaces(layers)], Pictures(shown), Explain(layers));
    }

    private static LabTable EffectiveRanks(Layer[] layers, int steps) => new(
        $"Effective rank, and the share of the full update's energy in its first {Small} directions, {steps} steps",
        ["layer", "shape", "weight", "full update", "B A, r 8", "B A, r 64", "energy in 8"],
        [.. layers.Select(l => new[]
        {
            l.Path, $"{l.Weight.Rows} x {l.Weight.Columns}", Figures.Short(l.Weight.EffectiveRank),
            Figures.Short(l.Full.EffectiveRank), Figures.Short(l.SmallProduct.EffectiveRank),
            Figures.Short(l.LargeProduct.EffectiveRank), Figures.Percent(l.Full.EnergyIn(Small)),
        })]);

    private static LabTable Subspaces(Layer[] layers) => new(
        "Similarity of the first directions of r 8 (i) and of r 64 (j); in brackets that of random matrices",
        ["layer", "A: (1, 1)", "A: (8, 8)", "B A: (1, 1)", "B A: (8, 8)", "B A of r 8 and full (8, 8)"],
        [.. layers.Select(l => new[]
        {
            l.Path, Pair(l.OfA, l.OfRandom, 0), Pair(l.OfA, l.OfRandom, Small - 1),
            Pair(l.OfProduct, l.OfRandom, 0), Pair(l.OfProduct, l.OfRandom, Small - 1),
            Figures.Short(Layer.At(l.WithFull, Small - 1)),
        })]);

    private static string Pair(double[,] values, double[,] random, int at) =>
        $"{Figures.Short(Layer.At(values, at))} ({Figures.Short(Layer.At(random, at))})";

    private static LabPicture[] Pictures(Layer[] shown) =>
    [
        .. shown.Select(l => LabPlot.Lines(
            $"rank_spectrum_{l.Kind}", $"singular values over the largest, {l.Path}", "direction", "share of the largest",
            [
                Spectrum("weight", l.Weight), Spectrum("full update", l.Full), Spectrum("B A, r 8", l.SmallProduct),
                Spectrum("B A, r 64", l.LargeProduct),
            ],
            logY: true)),
        .. shown.Select(l => LabPlot.HeatMap(
            $"rank_subspace_{l.Kind}", $"similarity of B A's directions, {l.Path}", "directions of r 64",
            "directions of r 8", l.OfProduct)),
    ];

    // Below a millionth is rounding.
    private static LabCurve Spectrum(string name, LabMatrix matrix)
    {
        double[] shares = [.. matrix.Spectrum.Select(s => (double)s / matrix.Spectrum[0]).Where(s => s > 1e-6)];
        return new LabCurve(name, [.. Enumerable.Range(1, shares.Length).Select(i => (double)i)], shares);
    }

    private static string[] Explain(Layer[] layers)
    {
        double Mean(Func<Layer, double> value) => layers.Average(value);
        var (weight, full) = (Mean(l => l.Weight.EffectiveRank), Mean(l => l.Full.EffectiveRank));
        var (first, last) = (Mean(l => Layer.At(l.OfProduct, 0)), Mean(l => Layer.At(l.OfProduct, Small - 1)));
        var chance = Mean(l => Layer.At(l.OfRandom, Small - 1));
        return
        [
            $"The {layers.Length} weights of the block have an effective rank of {Figures.Short(weight)} on average, "
                + $"the full update {Figures.Short(full)}, "
                + (full < weight ? "less than the weights, " : "not less than the weights, ")
                + $"with {Figures.Percent(Mean(l => l.Full.EnergyIn(Small)))} of its energy in {Small} directions.",
            $"B A uses {Figures.Short(Mean(l => l.SmallProduct.EffectiveRank))} of its {Small} directions at r 8 and "
                + $"{Figures.Short(Mean(l => l.LargeProduct.EffectiveRank))} at r 64: a larger rank is "
                + (Mean(l => l.LargeProduct.EffectiveRank) < Large / 2.0 ? "mostly left unused." : "used."),
            $"The first direction of r 8 and that of r 64 agree by {Figures.Short(first)} on average, the first {Small} "
                + $"by {Figures.Short(last)} (random matrices: {Figures.Short(chance)}): "
                + (first <= last
                    ? "unlike in the paper, the top direction is not shared more than the rest at this scale."
                    : "the top direction is shared more than the rest, "
                        + (first > 0.5 ? "as in the paper." : "but less than the paper's, which is above 0.5.")),
        ];
    }

    // The linear layers of the block in the middle: their numbers before, and what full training adds.
    private static (Dictionary<string, LabMatrix> Weights, Dictionary<string, LabMatrix> Updates, double Loss) Full(
        LabOptions options, int steps)
    {
        options.Note("rank: full fine-tuning");
        using var training = LabTraining.Load(options, options.Seed);
        if (training.Model.Quantization is not null)
            throw new UserErrorException($"{options.Model}: rank needs weights of floats, but these are 4-bit");
        var linears = Middle(training.Model).ToDictionary(l => l.Path.Value);
        var before = linears.ToDictionary(l => l.Key, l => LabMatrix.Of(l.Value.Weight.Value));
        training.Run(new FullFineTuning(training.Model), steps, 5e-4);
        var after = linears.ToDictionary(l => l.Key, l => LabMatrix.Of(l.Value.Weight.Value).Minus(before[l.Key]));
        return (before, after, training.HeldOutLoss());
    }

    private static (Dictionary<string, (LabMatrix A, LabMatrix B)> Layers, double Loss) Lora(
        LabOptions options, int steps, int rank, int seed)
    {
        options.Note($"rank: LoRA, r {rank}");
        using var training = LabTraining.Load(options, seed);
        rank = Math.Min(rank, training.Model.Linears().Min(l => Math.Min(l.InFeatures, l.OutFeatures)));
        using var adapter = training.Lora(new LoraConfig
        {
            R = rank,
            LoraAlpha = 2 * rank,
            TargetModules = ModuleSelector.AllLinear,
        });
        training.Run(new LoraFineTuning(adapter), steps, 2e-3);
        var middle = Middle(training.Model).ToHashSet();
        return (
            adapter.Layers.Where(l => middle.Contains(l.Linear)).ToDictionary(
                l => l.Linear.Path.Value, l => (LabMatrix.Of(l.A.Value), LabMatrix.Of(l.B.Value))),
            training.HeldOutLoss());
    }

    private static IEnumerable<Linear> Middle(CausalLM model) => model.Linears()
        .Where(l => l.Path.Value.Split('.').Contains($"{model.Config.Layers / 2}"));

    /// <summary>All that is known about a layer.</summary>
    private sealed class Layer(
        string path, LabMatrix weight, LabMatrix full, (LabMatrix A, LabMatrix B) small,
        (LabMatrix A, LabMatrix B) large)
    {
        public string Path => path;

        public string Kind => path[(path.LastIndexOf('.') + 1)..];

        public LabMatrix Weight => weight;

        public LabMatrix Full => full;

        public LabMatrix SmallProduct { get; } = small.B.Times(small.A);

        public LabMatrix LargeProduct { get; } = large.B.Times(large.A);

        public double[,] OfA { get; } = small.A.Similarity(large.A, Small, Large);

        public double[,] OfRandom { get; } = LabMatrix.Random(small.A.Rows, weight.Columns, 1).Similarity(
            LabMatrix.Random(large.A.Rows, weight.Columns, 2), Small, Large);

        public double[,] OfProduct => field ??= SmallProduct.Similarity(LargeProduct, Small, large.A.Rows);

        public double[,] WithFull => field ??= SmallProduct.Similarity(full, Small, Small);

        public static double At(double[,] values, int at) =>
            values[Math.Min(at, values.GetLength(0) - 1), Math.Min(at, values.GetLength(1) - 1)];

        public JsonObject ToJson() => new()
        {
            ["layer"] = path,
            ["inputs"] = weight.Columns,
            ["effective_rank"] = new JsonObject
            {
                ["weight"] = weight.EffectiveRank,
                ["full"] = full.EffectiveRank,
                ["r8"] = SmallProduct.EffectiveRank,
                ["r64"] = LargeProduct.EffectiveRank,
            },
            ["full_energy_in_8"] = full.EnergyIn(Small),
            ["spectrum"] = new JsonObject
            {
                ["weight"] = LabNumbers.Array(weight.Spectrum.Select(s => (double)s)),
                ["full"] = LabNumbers.Array(full.Spectrum.Select(s => (double)s)),
                ["r8"] = LabNumbers.Array(SmallProduct.Spectrum.Select(s => (double)s)),
                ["r64"] = LabNumbers.Array(LargeProduct.Spectrum.Select(s => (double)s)),
            },
            ["similarity_a"] = LabNumbers.Matrix(OfA),
            ["similarity_product"] = LabNumbers.Matrix(OfProduct),
            ["similarity_random"] = LabNumbers.Matrix(OfRandom),
        };
    }
}
