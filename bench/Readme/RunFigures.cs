using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using CudaLora.Cli;

namespace CudaLora.Bench.Readme;

/// <summary>The summaries of runs of the command line, as README shows them.</summary>
internal static class RunFigures
{
    private static readonly (string Run, string Label)[] Rows =
    [
        ("bundled", "bundled model, bundled instructions"),
        ("alpaca", "TinyStories-656K on 1,000 alpaca records"),
        ("e2e-lora", "TinyStories-656K on E2E"),
    ];

    /// <summary>What the first command of README ends with.</summary>
    public static string Bundled(string results)
    {
        var run = Summary(results, "bundled");
        double before = (double)run["eval_loss_before"]!, after = (double)run["eval_loss_after"]!;
        var (seconds, answers) = ((double)run["train_runtime_s"]!, (int)run["exact_match_samples"]!);
        return string.Create(CultureInfo.InvariantCulture, $"""
            This is what it ended with on two cores of an EPYC (AVX-512), {seconds:0} seconds of training:

            ```
            held out              before       after
            loss              {before,10:0.0000}  {after,10:0.0000}
            perplexity        {Math.Exp(before),10:0.00}  {Math.Exp(after),10:0.00}
            exact match       {Match(run, "before"),10}  {Match(run, "after"),10}   ({answers} answers)
            ```
            """).ReplaceLineEndings("\n");
    }

    public static string Table(string results)
    {
        var text = new StringBuilder(
            "| run | held-out loss | exact match | tokens/s | time |\n|---|---:|---:|---:|---:|\n");
        foreach (var (name, label) in Rows)
        {
            var run = Summary(results, name);
            double rate = (double)run["tokens_per_second"]!, seconds = (double)run["train_runtime_s"]!;
            // Texts that no answer could match say nothing.
            var match = (double?)run["exact_match_after"] is null or 0 ? ""
                : string.Create(
                    CultureInfo.InvariantCulture,
                    $" {Share(run, "before"):0.#} % → {Share(run, "after"):0.#} %");
            text.Append(CultureInfo.InvariantCulture,
                $"| {label}, {run["train_steps"]} steps | {Loss(run, "before")} → {Loss(run, "after")} |");
            text.Append(CultureInfo.InvariantCulture, $"{match} | {rate:#,0} | {seconds:0} s |\n");
        }
        return text.ToString();
    }

    private static string Loss(JsonNode run, string when)
    {
        var loss = (double)run["eval_loss_" + when]!;
        return loss.ToString(loss < 1 ? "0.000" : "0.00", CultureInfo.InvariantCulture);
    }

    private static string Match(JsonNode run, string when) => Figures.Percent(Share(run, when) / 100);

    // In per cent.
    private static double Share(JsonNode run, string when) => 100 * (double)run["exact_match_" + when]!;

    private static JsonNode Summary(string results, string run) =>
        JsonNode.Parse(File.ReadAllText(Path.Combine(results, "runs", run, RunSummary.FileName)))!;
}
