using System.Globalization;
using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Kernels.Simd;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>
/// The error of 4-bit types on real weights: NF4's codes stand where normal values are, FP4's and INT4's do not
/// (Dettmers et al. 2023, section 3).
/// </summary>
internal sealed class QuantizationExperiment() : LabExperiment(
    "quantization", "Error of NF4, INT4 and FP4 on the model's weights, by block size",
    "A block of weights is divided by its largest magnitude, then each value becomes the nearest of 16 codes; a zero "
    + "point moves the codes to where the block's values are. The error is the norm of the difference over the norm of "
    + "the weights. Bits per weight count a block's 32-bit scale, and its zero point, too.")
{
    private const int Usual = 64;
    private const int Draws = 1 << 18;

    private static readonly int[] Blocks = [32, 64, 128, 256, 512, 1024];

    private static readonly BlockCode[] Codes =
    [
        new("nf4", QuantTables.Nf4.ToArray(), 32),
        new("fp4", QuantTables.Fp4.ToArray(), 32),
        new("int4", [.. Enumerable.Range(-7, 15).Select(i => i / 7f)], 32),
        // A zero point per block besides the scale: the codes stretch from the least to the largest value.
        new("int4 with zero point", [.. Enumerable.Range(0, 16).Select(i => i / 15f)], 64) { HasZeroPoint = true },
    ];

    public override LabReport Run(LabOptions options)
    {
        using var model = CausalLM.Load(options.Model);
        if (model.Quantization is not null)
            throw new UserErrorException($"{options.Model}: quantization needs weights of floats, but these are 4-bit");
        (string Name, float[] Values)[] weights = [.. model.Linears()
            .Where(l => l.Path.Value.Any(char.IsAsciiDigit)).Select(l => (l.Path.Value, l.Weight.Value.ToArray()))];
        options.Note($"quantization: {weights.Length} layers");
        (string, float[])[] normal = [("normal values", LabMatrix.Random(1, Draws, options.Seed).Values)];
        var real = Codes.ToDictionary(code => code.Name, code => Errors(code, weights));
        var ideal = Codes.ToDictionary(code => code.Name, code => Errors(code, normal));
        var kinds = weights.GroupBy(w => w.Name[(w.Name.LastIndexOf('.') + 1)..]).ToArray();
        var perKind = Codes.ToDictionary(
            code => code.Name,
            code => kinds.Select(kind => code.Error([.. kind.Select(w => w.Values)], Usual)).ToArray());
        var numbers = new JsonObject
        {
            ["weights"] = weights.Sum(w => w.Values.Length),
            ["blocks"] = LabNumbers.Array(Blocks.Select(b => (double)b)),
            ["error"] = Json(real),
            ["error_of_normal_values"] = Json(ideal),
            ["kinds"] = new JsonArray([.. kinds.Select(kind => JsonValue.Create(kind.Key))]),
            ["error_by_kind"] = Json(perKind),
        };
        return new LabReport(
            Name, "Quantisation: which four bits", numbers,
            [Table("the model's weights", real), Table("normal values", ideal)],
            [
                LabPlot.Lines(
                    "quantization_blocks", "error of 4-bit weights, all linear layers", "weights per scale",
                    "error, share of the norm",
                    [.. real.Select(pair => new LabCurve(pair.Key, [.. Blocks.Select(b => (double)b)], pair.Value))],
                    logX: true),
                LabPlot.Bars(
                    "quantization_kinds", $"error by kind of layer, {Usual} weights per scale",
                    "error, share of the norm",
                    [.. kinds.Select(kind => kind.Key)],
                    [.. perKind.Select(pair => LabCurve.OfSteps(pair.Key, pair.Value))]),
            ],
            Explain(real, ideal));
    }

    private static double[] Errors(BlockCode code, (string Name, float[] Values)[] weights) =>
        [.. Blocks.Select(block => code.Error([.. weights.Select(w => w.Values)], block))];

    private static LabTable Table(string of, Dictionary<string, double[]> errors) => new(
        $"Error of {of}, share of the norm, by weights per scale",
        ["type", .. Blocks.Select(b => b.ToString(CultureInfo.InvariantCulture)), $"bits at {Usual}"],
        [.. errors.Select(pair => (string[])[
            pair.Key, .. pair.Value.Select(Figures.Percent),
            Figures.Short(4 + ((double)Codes.First(c => c.Name == pair.Key).BitsPerBlock / Usual))])]);

    private static JsonObject Json(Dictionary<string, double[]> errors) => new(
        errors.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)LabNumbers.Array(pair.Value))));

    private static string[] Explain(Dictionary<string, double[]> real, Dictionary<string, double[]> ideal)
    {
        var at = Array.IndexOf(Blocks, Usual);
        double Of(string type) => real[type][at];
        var wins = Blocks.Where((_, i) => real["nf4"][i] < Math.Min(real["int4"][i], real["fp4"][i])).ToArray();
        var zeroPoint = Blocks.Where((_, i) => real["int4 with zero point"][i] < real["nf4"][i]).ToArray();
        return
        [
            $"With {Usual} weights per scale the error of NF4 is {Figures.Percent(Of("nf4"))} of the weights' norm, that of "
                + $"INT4 {Figures.Percent(Of("int4"))} and that of FP4 {Figures.Percent(Of("fp4"))}; on normal values it is "
                + $"{Figures.Percent(ideal["nf4"][at])}, {Figures.Percent(ideal["int4"][at])} and "
                + $"{Figures.Percent(ideal["fp4"][at])}.",
            (wins.Length == Blocks.Length
                ? "NF4 has the least error of the three at every block size: "
                : $"NF4 has the least error of the three at {wins.Length} of {Blocks.Length} block sizes: ")
                + "its codes are the quantiles of a normal distribution, which these weights resemble.",
            $"Larger blocks cost accuracy for all ({Figures.Percent(real["nf4"][0])} at {Blocks[0]}, "
                + $"{Figures.Percent(real["nf4"][^1])} at {Blocks[^1]} for NF4), and INT4 with a zero point, which stores "
                + "two numbers per block, "
                + (zeroPoint.Length == 0
                    ? "is never better."
                    : $"is better at {string.Join(", ", zeroPoint)}; at the same 5 bits per weight it has "
                        + $"{Figures.Percent(real["int4 with zero point"][at])} against NF4's "
                        + $"{Figures.Percent(real["nf4"][0])} in blocks of {Blocks[0]}."),
        ];
    }

    /// <summary>A 4-bit type: codes from -1 to 1 times a block's largest magnitude, the nearest one taken.</summary>
    private sealed class BlockCode(string name, float[] codes, int bitsPerBlock)
    {
        private readonly float[] sorted = [.. codes.Distinct().Order()];

        public string Name => name;

        public int BitsPerBlock => bitsPerBlock;

        public bool HasZeroPoint { get; init; }

        /// <summary>Norm of the difference over the norm of the values.</summary>
        public double Error(IReadOnlyList<float[]> tensors, int block)
        {
            double errors = 0, squares = 0;
            foreach (var values in tensors)
            {
                foreach (var part in values.Chunk(block))
                {
                    var offset = HasZeroPoint ? part.Min() : 0;
                    var scale = HasZeroPoint ? part.Max() - offset : part.Max(Math.Abs);
                    foreach (var value in part)
                    {
                        var back = scale == 0 ? offset : offset + (scale * Nearest((value - offset) / scale));
                        errors += ((double)value - back) * ((double)value - back);
                        squares += (double)value * value;
                    }
                }
            }
            return squares == 0 ? 0 : Math.Sqrt(errors / squares);
        }

        private float Nearest(float value)
        {
            var best = sorted[0];
            foreach (var code in sorted)
            {
                if (Math.Abs(code - value) < Math.Abs(best - value)) best = code;
            }
            return best;
        }
    }
}
