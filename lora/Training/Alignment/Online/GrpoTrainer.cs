namespace CudaLora.Lora;

/// <summary>
/// Group relative policy optimisation (Shao et al. 2024): several responses to each prompt, each as good as its reward
/// is above the mean of its group. No value head; a reference only if β is above 0.
/// </summary>
public sealed class GrpoTrainer : OnlineTrainer
{
    // As TRL: keeps groups of nearly equal rewards from blowing up.
    private const double ScaleEpsilon = 1e-4;

    private readonly GrpoOptions options;

    /// <summary>Prepares a run.</summary>
    /// <param name="arguments">Steps (<see cref="TrainingArguments.MaxSteps"/>), rate, saving, seed; the batch size is
    /// the rows of a micro-batch.</param>
    /// <param name="options">GRPO's own.</param>
    /// <param name="method">The adapter.</param>
    /// <param name="run">Prompts and reward.</param>
    public GrpoTrainer(TrainingArguments arguments, GrpoOptions options, PolicyFineTuning method, OnlineRun run)
        : base(arguments, options, method, new GrpoObjective(options), run) => this.options = options;

    /// <inheritdoc/>
    protected override string Name => "grpo";

    private protected override void Assess(RolloutExample[] examples, Dictionary<string, double> metrics)
    {
        var rewards = Array.ConvertAll(examples, e => (double)e.Reward);
        var advantages = Advantages(rewards, options.Generations, options.ScaleRewards, out var equal);
        for (var i = 0; i < examples.Length; i++)
        {
            examples[i].Advantages = new float[examples[i].Count];
            Array.Fill(examples[i].Advantages, (float)advantages[i]);
        }
        metrics["reward"] = rewards.Average();
        metrics["frac_reward_zero_std"] = equal;
        metrics["completions/clipped_ratio"] = examples.Average(e => e.Sample.IsFinished ? 0.0 : 1);
    }

    /// <summary>Rewards minus the mean of their group, divided as the scale says.</summary>
    /// <param name="rewards">Groups one after the other.</param>
    /// <param name="group">Responses of a group.</param>
    /// <param name="scale">The divisor.</param>
    /// <param name="equal">Share of the groups whose rewards are all the same: nothing is learned from them.</param>
    internal static double[] Advantages(double[] rewards, int group, GrpoScale scale, out double equal)
    {
        var advantages = new double[rewards.Length];
        var all = Deviation(rewards);
        var same = 0;
        for (var at = 0; at < rewards.Length; at += group)
        {
            var part = rewards[at..(at + group)];
            var (mean, deviation) = (part.Average(), Deviation(part));
            if (deviation == 0)
                same++;
            for (var i = 0; i < group; i++)
                advantages[at + i] = (part[i] - mean) / scale switch
                {
                    GrpoScale.Group => deviation + ScaleEpsilon,
                    GrpoScale.Batch => all + ScaleEpsilon,
                    _ => 1,
                };
        }
        equal = (double)same / (rewards.Length / group);
        return advantages;
    }

    // Unbiased.
    private static double Deviation(double[] values) =>
        Math.Sqrt(PpoMath.Variance(values) * values.Length / Math.Max(1, values.Length - 1));
}
