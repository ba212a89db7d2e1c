using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>
/// One budget of trained parameters, spent on one matrix with a high rank or on many with a low one (Hu et al. 2021,
/// table 5).
/// </summary>
internal sealed class PlacementExperiment() : LabExperiment(
    "placement", "The same number of parameters on q, k, v, o, on several, or on all layers",
    "Every run trains about the same number of parameters: one kind of matrix gets a high rank, several share it. "
    + "Alpha is twice the rank. The spread is the largest distance of a seed's loss from the mean.")
{
    private const int RankOfOne = 32;

    private static readonly string[] All =
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

    private static readonly (string Name, string[] Modules)[] Places =
    [
        ("q", All[..1]), ("k", All[1..2]), ("v", All[2..3]), ("o", All[3..4]), ("q, k", All[..2]),
        ("q, v", [All[0], All[2]]), ("q, k, v, o", All[..4]), ("all", All),
    ];

    public override LabReport Run(LabOptions options)
    {
        var steps = options.Steps(60, 250);
        var sizes = Sizes(options.Model);
        var budget = RankOfOne * sizes[All[0]];
        LabCell[] cells = [.. Places.Select(place => new LabCell(place.Name, Config(place.Modules, sizes, budget))
            .Run(options, steps))];
        var (best, single) = (cells.MinBy(c => c.Loss)!, cells[..4].MinBy(c => c.Loss)!);
        var (spread, qv) = (cells.Max(c => c.Spread), cells[5]);
        var numbers = new JsonObject
        {
            ["steps"] = steps,
            ["budget"] = budget,
            ["cells"] = new JsonArray([.. cells.Select(c => c.ToJson())]),
        };
        return new LabReport(
            Name, "Placement: where a budget does most", numbers,
            [
                new LabTable(
                    $"Held-out loss after {steps} steps, mean of {options.SeedsText}",
                    ["layers", "rank", "parameters", "loss", "spread"],
                    [.. cells.Select(c => new[]
                    {
                        c.Name, $"{c.Config.R}", Figures.Count(c.Trained), Figures.Loss(c.Loss), c.SpreadText,
                    })]),
            ],
            [
                LabPlot.Bars(
                    "placement", $"held-out loss after {steps} steps at one budget", "loss per token",
                    [.. cells.Select(c => $"{c.Name}\nr {c.Config.R}")],
                    [LabCurve.OfSteps("loss", [.. cells.Select(c => c.Loss)])]),
            ],
            [
                $"At about {Figures.Count(cells.Average(c => c.Trained))} parameters each, {best.Name} is best with a "
                    + $"held-out loss of {Figures.Loss(best.Loss)}.",
                $"The best single matrix, {single.Name} with rank {single.Config.R}, reaches {Figures.Loss(single.Loss)}; "
                    + $"q, v with half the rank {Figures.Loss(qv.Loss)}, q, k, v, o {Figures.Loss(cells[6].Loss)}.",
                best.Config.R < single.Config.R && single.Loss - best.Loss > spread
                    ? "A low rank on more matrices beats a high rank on one, as in the paper."
                    : "The paper's statement, a low rank on more matrices beats a high rank on one, is not seen here "
                        + $"beyond the spread of {Figures.Loss(spread)}.",
            ]);
    }

    private static LoraConfig Config(string[] modules, Dictionary<string, int> sizes, int budget)
    {
        var rank = Math.Max(1, (int)Math.Round((double)budget / modules.Sum(m => sizes[m])));
        return new LoraConfig { R = rank, LoraAlpha = 2 * rank, TargetModules = ModuleSelector.Of(modules) };
    }

    // Parameters of rank 1 on a kind of layer.
    private static Dictionary<string, int> Sizes(string folder)
    {
        using var model = CausalLM.Load(folder);
        var sizes = model.Linears().GroupBy(l => l.Path.Name).ToDictionary(
            kind => kind.Key, kind => kind.First().InFeatures + kind.First().OutFeatures);
        return All.FirstOrDefault(m => !sizes.ContainsKey(m)) is { } missing
            ? throw new UserErrorException(
                $"{folder}: placement needs a model with {string.Join(", ", All)}, but it has no {missing}")
            : sizes;
    }
}
