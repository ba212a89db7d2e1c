namespace CudaLora.Cli;

/// <summary>A measurement of two reports.</summary>
internal sealed record BenchChange(BenchRow Before, BenchRow Now)
{
    /// <summary>Below this a machine with nothing else to do changes its mind too.</summary>
    public const double Least = 0.03;

    /// <summary>How much longer it takes now, as a share of the time before.</summary>
    public double Slower => (Now.Seconds / Before.Seconds) - 1;

    /// <summary>What both runs may be off by together.</summary>
    public double Noise => Math.Max(Least, Before.Noise + Now.Noise);

    public bool IsRegression => Slower > Noise;

    public bool IsGain => (Before.Seconds / Now.Seconds) - 1 > Noise;

    /// <summary>The measurements that both reports have, in the order of the new one.</summary>
    public static IReadOnlyList<BenchChange> Between(BenchReport before, BenchReport now)
    {
        var former = before.Rows.DistinctBy(row => row.Key).ToDictionary(row => row.Key);
        return
        [
            .. now.Rows.Where(row => former.ContainsKey(row.Key)).Select(row => new BenchChange(former[row.Key], row)),
        ];
    }
}
