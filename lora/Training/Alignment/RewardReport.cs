namespace CudaLora.Lora;

/// <summary>How well rewards agree with held-out preferences.</summary>
/// <param name="Pairs">Pairs judged.</param>
/// <param name="Accuracy">Share in which the chosen response has the higher reward; equal ones count half.</param>
/// <param name="Margin">Mean of r(chosen) - r(rejected).</param>
/// <param name="Loss">Mean of -log σ(r(chosen) - r(rejected)).</param>
/// <param name="CalibrationError">
/// Expected calibration error over ten bins of σ(|difference|): how far the stated probability that the higher one is
/// preferred is from the share in which it is (Guo et al. 2017).
/// </param>
/// <param name="MinReward">Lowest reward.</param>
/// <param name="MeanReward">Mean reward.</param>
/// <param name="MaxReward">Highest reward.</param>
public sealed record RewardReport(
    int Pairs, double Accuracy, double Margin, double Loss, double CalibrationError, double MinReward,
    double MeanReward, double MaxReward)
{
    private const int Bins = 10;

    /// <summary>Scores chosen and rejected, which follow each other in the data.</summary>
    public static RewardReport Of(RewardModel model, PreferenceData held)
    {
        var rewards = new float[held.Examples.Count];
        model.Score([.. held.Examples.Select(example => (IReadOnlyList<int>)example.Ids)], rewards);
        return Of(rewards);
    }

    /// <summary>From rewards of chosen and rejected in turn; at least one pair.</summary>
    public static RewardReport Of(IReadOnlyList<float> rewards)
    {
        var pairs = rewards.Count / 2;
        var differences = Enumerable.Range(0, pairs)
            .Select(i => (double)rewards[2 * i] - rewards[(2 * i) + 1]).ToArray();
        return new RewardReport(
            pairs, differences.Average(Won), differences.Average(),
            differences.Average(d => Math.Log(1 + Math.Exp(-Math.Abs(d))) + Math.Max(0, -d)),
            Calibration(differences), rewards.Min(), rewards.Average(r => (double)r), rewards.Max());
    }

    private static double Won(double difference) => difference > 0 ? 1 : difference == 0 ? 0.5 : 0;

    private static double Calibration(double[] differences)
    {
        // Stated probabilities are at least one half.
        var bins = differences
            .Select(d => (Stated: 1 / (1 + Math.Exp(-Math.Abs(d))), Won: Won(d)))
            .GroupBy(pair => Math.Min(Bins - 1, (int)((pair.Stated - 0.5) * 2 * Bins)));
        return bins.Sum(bin => bin.Count() * Math.Abs(bin.Average(p => p.Stated) - bin.Average(p => p.Won)))
            / differences.Length;
    }
}
