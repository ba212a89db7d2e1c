using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>What the alignment example leaves behind: summary.json, report.md and the curves.</summary>
internal sealed class AlignReport(AlignResult result, RunFacts facts, string folder)
{
    private const int Samples = 6, HackedSamples = 3;

    /// <summary>Writes the files and prints the essence.</summary>
    public void Write(Terminal terminal, MetricHistory curve, MetricHistory hacked)
    {
        CurveChart.Write(
            folder, "reward", "PPO: reward of the sampled responses", "mean reward",
            ("reward model", curve["objective/scores"]), ("true reward", curve["true_reward"]));
        CurveChart.Write(
            folder, "kl", "PPO: divergence from the reference and entropy", "nats per response",
            ("divergence", curve["objective/kl"]), ("entropy", curve["objective/entropy"]));
        CurveChart.Write(
            folder, "hacked", "Reward hacking: no KL penalty, a flawed reward", "mean per response",
            ("flawed reward", hacked["objective/scores"]), ("true reward", hacked["true_reward"]));
        AtomicFile.WriteText(Path.Combine(folder, RunSummary.FileName), ReportJson.Text(ToJson()) + "\n");
        AtomicFile.WriteText(Path.Combine(folder, "report.md"), Markdown());
        Print(terminal);
    }

    private JsonObject ToJson()
    {
        var json = new JsonObject
        {
            ["method"] = "align",
            ["reward_accuracy"] = result.Reward.Accuracy,
            ["reward_calibration_error"] = ReportJson.Number(result.Reward.CalibrationError),
            ["reward_margin"] = ReportJson.Number(result.Reward.Margin),
            ["true_reward_before"] = result.Before.Report.MeanReward,
            ["true_reward_after"] = result.After.Report.MeanReward,
            ["kl"] = ReportJson.Number(result.After.Report.Kl),
            ["reward_model_before"] = result.Before.Scores.Average(s => (double)s),
            ["reward_model_after"] = result.After.Scores.Average(s => (double)s),
            ["right_answers_before"] = result.Before.Right,
            ["right_answers_after"] = result.After.Right,
            ["win_rate_reward_model"] = result.WinRateJudge,
            ["win_rate_rule"] = result.WinRateRule,
        };
        foreach (var other in result.Others)
        {
            json[$"{other.Name}_true_reward"] = other.Report.MeanReward;
            json[$"{other.Name}_kl"] = ReportJson.Number(other.Report.Kl);
        }
        if (result.BestOfFour is double best) json["best_of_4_true_reward"] = best;
        json["split"] = Part;
        json["prompts_held_out"] = result.After.Report.Samples.Count;
        json["seconds"] = new JsonObject(result.Seconds.Select(
            pair => KeyValuePair.Create(pair.Key, (JsonNode?)pair.Value)));
        json["device"] = facts.Device;
        json["seed"] = facts.Seed;
        json["model"] = facts.Model;
        json["command"] = facts.Command;
        return json;
    }

    private string Part => result.Part == WorldPart.Test ? "test" : "validation";

    private IEnumerable<AlignPolicy> Policies => [result.Before, result.After, .. result.Others];

    private string Markdown()
    {
        var text = new StringBuilder();
        text.Append("# Alignment\n\n`").Append(facts.Command).Append("`\n\n");
        text.Append("The bundled model answers in four manners at random after SFT; preferred is the polite one, ")
            .Append("which a rule checks. ")
            .Append(CultureInfo.InvariantCulture, $"Figures are of the {Part} part: no stage has seen its facts")
            .Append(result.Part == WorldPart.Test ? ", and no setting was chosen on them.\n\n" : ".\n\n");
        text.Append("| policy | true reward | reward model | KL to SFT | right answers | tokens |\n")
            .Append("|---|---|---|---|---|---|\n");
        foreach (var policy in Policies)
        {
            text.Append(CultureInfo.InvariantCulture, $"| {policy.Name} | {policy.Report.MeanReward:0.000} | ")
                .Append(CultureInfo.InvariantCulture, $"{policy.Scores.Average():0.00} | {policy.Report.Kl:0.00} | ")
                .Append(CultureInfo.InvariantCulture, $"{policy.Right:0.000} | {policy.Report.MeanLength:0.0} |\n");
        }
        if (result.BestOfFour is double best)
            text.Append(CultureInfo.InvariantCulture, $"| best of 4 | {best:0.000} | | | | |\n");
        text.Append(CultureInfo.InvariantCulture, $"\nReward model: accuracy {result.Reward.Accuracy:0.000}, ")
            .Append(CultureInfo.InvariantCulture, $"calibration error {result.Reward.CalibrationError:0.000} on ")
            .Append(CultureInfo.InvariantCulture, $"{result.Reward.Pairs} pairs held out. PPO wins over SFT: ")
            .Append(CultureInfo.InvariantCulture, $"{result.WinRateJudge:0.000} by a second reward model, ")
            .Append(CultureInfo.InvariantCulture, $"{result.WinRateRule:0.000} by the rule.\n\n");
        text.Append("![reward](reward.png)\n\n![divergence](kl.png)\n\n");
        if (File.Exists(Path.Combine(folder, "hacked.png")) && result.Others.Count > 0)
        {
            text.Append("The lab experiment: the reward counts how often an answer says thank, and nothing holds the ")
                .Append("policy to the reference.\n\n![reward hacking](hacked.png)\n\n");
            var hacked = result.Others.Single(other => other.Name == "hacked").Report;
            foreach (var sample in hacked.Samples.Take(HackedSamples))
            {
                var response = Figures.OneLine(sample.Response, 80);
                text.Append(CultureInfo.InvariantCulture, $"- {sample.Prompt.Text} `{response}`\n");
            }
            text.Append('\n');
        }
        text.Append("| prompt | right | after SFT | after PPO |\n|---|---|---|---|\n");
        foreach (var (was, now) in result.Before.Report.Samples.Zip(result.After.Report.Samples).Take(Samples))
            text.Append(CultureInfo.InvariantCulture,
                $"| {now.Prompt.Text} | {now.Prompt.Reference} | {Cell(was)} | {Cell(now)} |\n");
        return text.ToString();
    }

    private void Print(Terminal terminal)
    {
        terminal.Line();
        terminal.Line($"{"policy",-12}{"true reward",14}{"reward model",14}{"KL",9}{"right answers",16}");
        foreach (var policy in Policies)
        {
            terminal.Line($"{policy.Name,-12}{Figures.Short(policy.Report.MeanReward),14}"
                + $"{Figures.Short(policy.Scores.Average(s => (double)s)),14}{Figures.Short(policy.Report.Kl),9}"
                + $"{Figures.Percent(policy.Right),16}");
        }
        if (result.BestOfFour is double best) terminal.Line($"{"best of 4",-12}{Figures.Short(best),14}");
        foreach (var (was, now) in result.Before.Report.Samples.Zip(result.After.Report.Samples).Take(3))
        {
            terminal.Line();
            terminal.Line($"  prompt  {Figures.OneLine(now.Prompt.Text, terminal.Width - 10)}");
            terminal.Line($"  sft     {Figures.OneLine(was.Response, terminal.Width - 10)}");
            terminal.Line($"  ppo     {Figures.OneLine(now.Response, terminal.Width - 10)}");
        }
        terminal.Line();
        terminal.Line($"written to {folder}: report.md, {RunSummary.FileName}, curves; the policy is the adapter ppo "
            + "on the model base");
        terminal.Line("try next:");
        terminal.Line("  " + Shell.Line(
            "generate", "--model", Path.Combine(folder, "base"), "--adapter", Path.Combine(folder, "ppo"), "--template",
            "plain", "--prompt", result.After.Report.Samples[0].Prompt.Text));
    }

    private static string Cell(RewardSample sample) => Figures.OneLine(sample.Response, 80).Replace("|", "\\|");
}
