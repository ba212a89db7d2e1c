using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using CudaLora.Cli;

namespace CudaLora.Bench.Readme;

/// <summary>What the guide shows besides the lab: the comparison of methods, memory of runs, alignment.</summary>
internal static class GuideFigures
{
    private static readonly (string Run, string Label)[] Runs =
    [
        ("bundled", "bundled model, LoRA r 8"), ("bundled-qlora", "bundled model, QLoRA r 8"),
        ("e2e-full", "TinyStories-656K on E2E, every weight"), ("e2e-lora", "TinyStories-656K on E2E, LoRA r 8"),
        ("e2e-qlora", "TinyStories-656K on E2E, QLoRA r 8"),
    ];

    /// <summary>The table of a comparison of methods.</summary>
    /// <param name="folder">Where it lies in the results.</param>
    public static Func<string, string> Compare(string folder) => results =>
    {
        var compare = Json(results, folder, "compare.json");
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"`{compare["command"]}`, {compare["steps"]} steps:\n\n");
        text.Append("| method | trained | share | held-out loss | peak memory | file |\n")
            .Append("|---|---:|---:|---:|---:|---:|\n");
        foreach (var method in compare["methods"]!.AsArray())
        {
            var loss = method!["eval_loss"]!;
            text.Append($"| {method["method"]} | {Figures.Count((double)method["trainable_parameters"]!)} ")
                .Append($"| {((double)method["trainable_share"]!).ToString("0.00 %", Spaced)} ")
                .Append($"| {Figures.Short((double)loss["mean"]!)} ± {Figures.Short((double)loss["deviation"]!)} ")
                .Append($"| {Figures.Bytes((long)method["peak_memory_bytes"]!)} ")
                .Append($"| {Figures.Bytes((long)method["file_bytes"]!)} |\n");
        }
        return text.ToString();
    };

    public static string Memory(string results)
    {
        var text = new StringBuilder(
            "| run | trained | of | peak of tensors | held-out loss |\n|---|---:|---:|---:|---:|\n");
        foreach (var (name, label) in Runs)
        {
            var run = Json(results, "runs", name, RunSummary.FileName);
            text.Append($"| {label} | {Figures.Count((double)run["trainable_parameters"]!)} ")
                .Append($"| {Figures.Count((double)run["total_parameters"]!)} ")
                .Append($"| {Figures.Bytes((long)run["peak_memory_bytes"]!)} ")
                .Append($"| {Figures.Loss((double)run["eval_loss_after"]!)} |\n");
        }
        return text.ToString();
    }

    public static string Align(string results)
    {
        var run = Json(results, "runs", "align-full", RunSummary.FileName);
        double Of(string name) => (double)run[name]!;
        return string.Create(CultureInfo.InvariantCulture, $"""
            | | after SFT | after PPO |
            |---|---:|---:|
            | true reward, of 1 | {Of("true_reward_before"):0.00} | {Of("true_reward_after"):0.00} |
            | reward model | {Of("reward_model_before"):0.00} | {Of("reward_model_after"):0.00} |
            | right answers | {100 * Of("right_answers_before"):0.0} % | {100 * Of("right_answers_after"):0.0} % |
            | divergence from SFT, nats | 0 | {Of("kl"):0.00} |

            The reward model is right in {100 * Of("reward_accuracy"):0} % of the pairs held out; the rule prefers PPO's
            answer in {100 * Of("win_rate_rule"):0} % of {run["prompts_held_out"]} prompts.
            """).ReplaceLineEndings("\n");
    }

    private static readonly NumberFormatInfo Spaced = CultureInfo.InvariantCulture.NumberFormat;

    private static JsonNode Json(string results, params string[] path) =>
        JsonNode.Parse(File.ReadAllText(Path.Combine([results, .. path])))!;
}
