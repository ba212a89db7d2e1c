using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using CudaLora.Cli;

namespace CudaLora.Bench.Readme;

/// <summary>Runs of the alignment commands, as README shows them.</summary>
internal static class AlignmentFigures
{
    public static string Table(string results)
    {
        var align = Summary(results, "align-full");
        var text = new StringBuilder("| run | held out | time |\n|---|---|---:|\n");
        Add($"| `align`: SFT, reward model and PPO on the bundled model, DPO, GRPO, reward hacking beside them ");
        Add($"| {align["prompts_held_out"]} test prompts that no setting was chosen on: reward model right in ");
        Add($"{Percent(align, "reward_accuracy")} of pairs; true reward {Of(align, "true_reward_before"):0.00} → ");
        Add($"{Of(align, "true_reward_after"):0.00} of 1 at {Of(align, "kl"):0.0} nats ");
        Add($"(DPO {Of(align, "dpo_true_reward"):0.00}, GRPO {Of(align, "grpo_true_reward"):0.00}; right answers ");
        Add($"{Percent(align, "right_answers_before")} → {Percent(align, "right_answers_after")}) ");
        Add($"| {Of(align["seconds"]!, "total"):0} s |\n");
        foreach (var set in new[] { "rasbt", "dpo_en" })
        {
            var (reward, dpo) = (Summary(results, $"reward-{set}"), Summary(results, $"dpo-{set}"));
            Add($"| reward model, TinyStories-656K, {reward["train_pairs"]} pairs ({set}) | right in ");
            Add($"{Percent(reward, "eval_accuracy_before")} → {Percent(reward, "eval_accuracy_after")} of ");
            Add($"{reward["eval_pairs"]} pairs | {Of(reward, "train_runtime_s"):0} s |\n");
            Add($"| DPO, the same | right in {Percent(dpo, "eval_accuracies_after")} of {dpo["eval_pairs"]} pairs ");
            Add($"| {Of(dpo, "train_runtime_s"):0} s |\n");
        }
        return text.ToString();

        void Add(FormattableString part) => text.Append(part.ToString(CultureInfo.InvariantCulture));
    }

    private static double Of(JsonNode run, string name) => (double)run[name]!;

    private static string Percent(JsonNode run, string name) =>
        string.Create(CultureInfo.InvariantCulture, $"{100 * Of(run, name):0} %");

    private static JsonNode Summary(string results, string run) =>
        JsonNode.Parse(File.ReadAllText(Path.Combine(results, "runs", run, RunSummary.FileName)))!;
}
