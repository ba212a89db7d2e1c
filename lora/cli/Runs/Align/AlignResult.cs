using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>A policy on the held-out prompts.</summary>
/// <param name="Name">How it came about.</param>
/// <param name="Report">Its responses and their true rewards.</param>
/// <param name="Scores">What the reward model gives them.</param>
/// <param name="Judged">What a second reward model, which no policy was trained against, gives them.</param>
internal sealed record AlignPolicy(
    string Name, PolicyReport Report, IReadOnlyList<float> Scores, IReadOnlyList<float> Judged)
{
    /// <summary>Share of right answers, manners aside.</summary>
    public double Right => Report.Samples.Average(s => WorldManners.IsRight(s) ? 1.0 : 0);
}

/// <summary>Everything the alignment example found out.</summary>
/// <param name="Reward">The reward model on pairs held out.</param>
/// <param name="Before">The policy after SFT.</param>
/// <param name="After">The policy after PPO.</param>
/// <param name="Others">Policies of other methods.</param>
/// <param name="Seconds">Time of each stage.</param>
internal sealed record AlignResult(
    RewardReport Reward, AlignPolicy Before, AlignPolicy After, IReadOnlyList<AlignPolicy> Others,
    IReadOnlyDictionary<string, double> Seconds)
{
    /// <summary>Facts that the figures are of.</summary>
    public required WorldPart Part { get; init; }

    /// <summary>Mean true reward of the SFT policy's best of four responses by the reward model, or null.</summary>
    public double? BestOfFour { get; init; }

    /// <summary>Share of prompts at which PPO's answer is better, by the second reward model.</summary>
    public double WinRateJudge => PolicyReport.WinRate(After.Judged, Before.Judged);

    /// <summary>The same by the rule.</summary>
    public double WinRateRule => PolicyReport.WinRate(After.Report.Rewards, Before.Report.Rewards);
}
