using System.Globalization;
using System.Text.Json.Nodes;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>
/// Rank from 1 to 64, alpha, rsLoRA's scale at high rank (Kalajdzievski 2023, arXiv 2312.03732) and LoRA+'s ratio
/// (Hayou et al. 2024, arXiv 2402.12354).
/// </summary>
internal sealed class SweepExperiment() : LabExperiment(
    "sweep", "Rank, alpha, rsLoRA at high rank, LoRA+ ratio: what each changes",
    "LoRA on all linear layers; one setting changes, the others stay. B A is scaled by alpha / r, with rsLoRA by "
    + "alpha / √r. LoRA+ trains B at the ratio times the learning rate of A. The spread is the largest distance of a "
    + "seed's loss from the mean.")
{
    private const int Alpha = 16;

    public override LabReport Run(LabOptions options)
    {
        var steps = options.Steps(60, 200);
        int[] ranks = options.Quick ? [1, 4, 16, 64] : [1, 2, 4, 8, 16, 32, 64];
        double[] ratios = options.Quick ? [1, 4, 16] : [1, 2, 4, 8, 16, 32];
        double[] alphas = options.Quick ? [2, 16, 128] : [1, 2, 4, 8, 16, 32, 64, 128];
        double[] rates = [5e-4, LabCell.UsualRate];
        LabCell[] plain = [.. ranks.Select(r => Cell($"LoRA, r {r}, alpha {Alpha}", r, Alpha))];
        LabCell[] stable = [.. ranks.Select(r => Cell($"rsLoRA, r {r}, alpha {Alpha}", r, Alpha, rs: true))];
        LabCell[] scaled = [.. ranks.Select(r => Cell($"LoRA, r {r}, alpha {2 * r}", r, 2 * r))];
        LabCell[] byAlpha = [.. alphas.Select(a => Cell($"LoRA, r 8, alpha {a}", 8, a))];
        LabCell[][] plus = [.. rates.Select(rate => ratios.Select(ratio =>
            Cell($"LoRA+, rate {Figures.Rate(rate)}, ratio {ratio}", 8, Alpha, rate: rate, ratio: ratio)).ToArray())];
        LabCell[] cells = [.. plain, .. stable, .. scaled, .. byAlpha, .. plus.SelectMany(row => row)];
        foreach (var cell in cells) cell.Run(options, steps);
        var numbers = new JsonObject
        {
            ["steps"] = steps,
            ["cells"] = new JsonArray([.. cells.Select(c => c.ToJson())]),
        };
        double[] x = [.. ranks.Select(r => (double)r)];
        return new LabReport(
            Name, "Sweeps: rank, alpha, rsLoRA, LoRA+", numbers, [Table(cells, steps, options.SeedsText)],
            [
                LabPlot.Lines(
                    "sweep_rank", $"held-out loss after {steps} steps", "rank", "loss per token",
                    [
                        Curve($"LoRA, alpha {Alpha}", x, plain), Curve($"rsLoRA, alpha {Alpha}", x, stable),
                        Curve("LoRA, alpha 2 r", x, scaled),
                    ],
                    logX: true, logY: true),
                LabPlot.Lines(
                    "sweep_alpha", $"held-out loss after {steps} steps, r 8", "alpha", "loss per token",
                    [Curve("LoRA", alphas, byAlpha)], logX: true, logY: true),
                LabPlot.Lines(
                    "sweep_ratio", $"held-out loss after {steps} steps, r 8, alpha {Alpha}", "rate of B over that of A",
                    "loss per token",
                    [.. plus.Zip(rates, (row, rate) => Curve($"rate of A {Figures.Rate(rate)}", ratios, row))],
                    logX: true, logY: true),
            ],
            [Ranks(plain, stable, scaled), Alphas(byAlpha, plus[0][0]), Plus([.. plus.SelectMany(row => row)], steps)]);
    }

    private static LabCell Cell(
        string name, int rank, double alpha, bool rs = false, double rate = LabCell.UsualRate, double ratio = 1) => new(
            name,
            new LoraConfig
            {
                R = rank,
                LoraAlpha = alpha,
                UseRsLora = rs,
                TargetModules = ModuleSelector.AllLinear,
            },
            rate, ratio);

    private static LabTable Table(LabCell[] cells, int steps, string seeds) => new(
        $"Held-out loss after {steps} steps, mean of {seeds}", ["settings", "parameters", "loss", "spread"],
        [.. cells.Select(c => new[]
        {
            c.Name, Figures.Count(c.Trained), Figures.Loss(c.Loss), c.SpreadText,
        })]);

    private static LabCurve Curve(string name, double[] x, LabCell[] cells) =>
        new(name, x, [.. cells.Select(c => c.Loss)]);

    private static string Ranks(LabCell[] plain, LabCell[] stable, LabCell[] scaled)
    {
        var (lora, rs) = (plain[^1], stable[^1]);
        var spread = Math.Max(lora.Spread, rs.Spread);
        var best = scaled.MinBy(c => c.Loss)!;
        return $"With the scale alpha / r = 2 the best rank is {best.Config.R} ({Figures.Loss(best.Loss)}; r 1 reaches "
            + $"{Figures.Loss(scaled[0].Loss)}, r 64 {Figures.Loss(scaled[^1].Loss)}); with alpha {Alpha} at r 64 rsLoRA, "
            + $"whose scale is alpha / √r, reaches {Figures.Loss(rs.Loss)} and LoRA {Figures.Loss(lora.Loss)}: rsLoRA "
            + (lora.Loss - rs.Loss > spread ? "learns faster at high rank, as it claims." : "is not better here.");
    }

    private static string Alphas(LabCell[] cells, LabCell slow)
    {
        var (best, worst) = (cells.MinBy(c => c.Loss)!, cells.MaxBy(c => c.Loss)!);
        return $"At r 8 alpha {Text(best.Config.LoraAlpha)} is best ({Figures.Loss(best.Loss)}), alpha "
            + $"{Text(worst.Config.LoraAlpha)} worst ({Figures.Loss(worst.Loss)}), the largest, "
            + $"{Text(cells[^1].Config.LoraAlpha)}, reaches {Figures.Loss(cells[^1].Loss)}; a quarter of the learning rate "
            + $"at alpha {Alpha} gives {Figures.Loss(slow.Loss)}: a factor on the update acts much as the rate does.";
    }

    private static string Plus(LabCell[] cells, int steps)
    {
        var plain = cells.Where(c => c.Ratio == 1).MinBy(c => c.Loss)!;
        var plus = cells.Where(c => c.Ratio != 1).MinBy(c => c.Loss)!;
        var gain = plain.Loss - plus.Loss;
        var reached = plus.StepsTo(plain.Loss);
        return $"LoRA+ at its best (rate {Figures.Rate(plus.Rate)}, ratio {Text(plus.Ratio)}) reaches "
            + $"{Figures.Loss(plus.Loss)}, plain LoRA at its best (rate {Figures.Rate(plain.Rate)}) "
            + $"{Figures.Loss(plain.Loss)}"
            + (reached is int step ? $", a loss that LoRA+ has by step {step} of {steps}" : "") + ": "
            + (gain > Math.Max(plain.Spread, plus.Spread)
                ? reached is int fast && 2 * fast <= steps
                    ? "the claim of up to two times fewer steps holds here."
                    : "better, but by less than the claimed two times fewer steps."
                : "the claim of better results in fewer steps does not hold at this scale.");
    }

    private static string Text(double value) => value.ToString("0.##", CultureInfo.InvariantCulture);
}
