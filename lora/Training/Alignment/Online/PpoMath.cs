namespace CudaLora.Lora;

/// <summary>The host's part of PPO: a few numbers per token, in double precision and a fixed order.</summary>
internal static class PpoMath
{
    private const double WhiteningEpsilon = 1e-8;

    /// <summary>Divergence of each token.</summary>
    public static double[] Divergences(RolloutExample example, KlEstimator estimator)
    {
        var kl = new double[example.Count];
        for (var t = 0; t < kl.Length; t++)
        {
            var d = (double)example.LogProbs[t] - example.Reference[t];
            kl[t] = estimator == KlEstimator.K1 ? d : Math.Exp(-d) - 1 + d;
        }
        return kl;
    }

    /// <summary>Reward at each state (S): the penalty at every token, the response's reward at the last state. As in
    /// TRL's PPOTrainer.</summary>
    public static double[] Rewards(RolloutExample example, double klCoef, KlEstimator estimator)
    {
        var rewards = new double[example.States];
        var kl = Divergences(example, estimator);
        for (var t = 0; t < kl.Length; t++)
            rewards[t] = -klCoef * kl[t];
        rewards[^1] += example.Reward;
        return rewards;
    }

    /// <summary>Advantages by GAE: δ(t) = r(t) + γ V(t+1) - V(t), A(t) = δ(t) + γ λ A(t+1); 0 after the end.</summary>
    public static double[] Advantages(IReadOnlyList<double> rewards, IReadOnlyList<float> values, double gamma,
        double lambda)
    {
        var advantages = new double[rewards.Count];
        var (next, later) = (0.0, 0.0);
        for (var t = rewards.Count - 1; t >= 0; t--)
        {
            later = rewards[t] + (gamma * next) - values[t] + (gamma * lambda * later);
            next = values[t];
            advantages[t] = later;
        }
        return advantages;
    }

    /// <summary>
    /// Scales all values together to variance 1 (unbiased), and to mean 0 unless the mean is kept. In place.
    /// </summary>
    public static void Whiten(IReadOnlyList<double[]> rows, bool keepMean = false)
    {
        var count = rows.Sum(row => row.Length);
        if (count < 2)
            return;
        var mean = rows.Sum(row => row.Sum()) / count;
        var variance = rows.Sum(row => row.Sum(x => (x - mean) * (x - mean))) / (count - 1);
        var factor = 1 / Math.Sqrt(variance + WhiteningEpsilon);
        foreach (var row in rows)
        {
            for (var t = 0; t < row.Length; t++)
                row[t] = ((row[t] - mean) * factor) + (keepMean ? mean : 0);
        }
    }

    /// <summary>Share of the returns' variance that the values explain.</summary>
    public static double ExplainedVariance(IReadOnlyList<RolloutExample> examples)
    {
        var returns = examples.SelectMany(e => e.Returns).Select(r => (double)r).ToArray();
        var misses = examples.SelectMany(e => e.Returns.Zip(e.Values, (r, v) => (double)r - v)).ToArray();
        var variance = Variance(returns);
        return variance == 0 ? 0 : 1 - (Variance(misses) / variance);
    }

    /// <summary>Mean square of the distance from the mean.</summary>
    public static double Variance(IReadOnlyCollection<double> values)
    {
        var mean = values.Average();
        return values.Average(v => (v - mean) * (v - mean));
    }

    /// <summary>The coefficient for the next step (Ziegler et al. 2019): up when the divergence is above its target,
    /// by at most a fifth per horizon.</summary>
    public static double Adapt(double coefficient, double divergence, double target, double horizon, int responses) =>
        coefficient * (1 + (Math.Clamp((divergence / target) - 1, -0.2, 0.2) * responses / horizon));
}
