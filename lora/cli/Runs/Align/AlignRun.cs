using System.Diagnostics;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>SFT, reward model, PPO, and what came of it: the stages one after the other on one base.</summary>
internal sealed class AlignRun(LoadedModel loaded, AlignPlan plan, string output, int seed, Terminal terminal)
{
    private static readonly FunctionReward Truth = new("true reward", WorldManners.TrueReward);

    private readonly Dictionary<string, double> seconds = new(StringComparer.Ordinal);
    private readonly MetricHistory curve = new();
    private readonly MetricHistory hacked = new();

    /// <summary>What is needed to run it again.</summary>
    public required RunFacts Facts { get; init; }

    /// <summary>Goes on with a run that was cut short.</summary>
    public bool Resume { get; init; }

    /// <summary>Runs it all and returns the exit code.</summary>
    public int Run(bool plain)
    {
        using var interrupt = new Interrupt(message => terminal.Line($"note: {message}"));
        var stages = new AlignStages(
            loaded, plan, output, seed, Resume, stage => View(stage, plain), interrupt.Token);
        try
        {
            var clock = Stopwatch.StartNew();
            var result = Run(stages, interrupt.Token);
            seconds["total"] = Math.Round(clock.Elapsed.TotalSeconds, 3);
            new AlignReport(result, Facts, output).Write(terminal, curve, hacked);
            return ExitCode.Success;
        }
        catch (OperationCanceledException)
        {
            terminal.Line($"interrupted; go on with:\n  {Facts.ResumeCommand}");
            return ExitCode.Interrupted;
        }
    }

    private AlignResult Run(AlignStages stages, CancellationToken stop)
    {
        Timed("sft", () => stages.Sft());
        var reward = Timed("reward", () => stages.Reward("reward", 1));
        var judge = Timed("judge", () => stages.Reward("judge", 2));
        var quality = RewardReport.Of(reward, stages.HeldPairs());
        terminal.Line($"reward model: accuracy {Figures.Percent(quality.Accuracy)} on {quality.Pairs} pairs held out, "
            + $"calibration error {Figures.Short(quality.CalibrationError)}");
        var before = Judge("sft", null);
        var after = Timed("ppo", () => stages.Ppo(
            "ppo", reward, stages.PpoOptions, curve, new TruthObserver(curve)));
        curve.Read(TrainerState.Read(stages.Folder("ppo")));
        var ppo = Judge("ppo", after);
        var others = new List<AlignPolicy>();
        double? best = null;
        if (plan.HasOthers)
        {
            others.Add(Judge("dpo", Timed("dpo", () => stages.Dpo("dpo"))));
            others.Add(Judge("grpo", Timed("grpo", () => stages.Grpo("grpo", Truth))));
            others.Add(Judge("hacked", Timed("hacked", () => Hack(stages))));
            best = Timed("best-of-4", () => BestOfFour(stages, reward, stop));
        }
        return new AlignResult(quality, before, ppo, others, seconds)
        {
            Part = plan.Judged,
            BestOfFour = best,
        };

        AlignPolicy Judge(string name, LoraAdapter? adapter)
        {
            adapter?.Activate();
            var report = PolicyReport.Of(
                loaded.Model, stages.Judging(Truth), stages.PpoOptions, seed + 1, stop);
            adapter?.Dispose();
            var (scores, judged) = (new float[report.Samples.Count], new float[report.Samples.Count]);
            reward.Score(report.Samples, scores);
            judge.Score(report.Samples, judged);
            return new AlignPolicy(name, report, scores, judged);
        }
    }

    // The lab experiment: no KL penalty, and a reward that can be had without being good.
    private LoraAdapter Hack(AlignStages stages)
    {
        var adapter = stages.Ppo(
            "hacked", new FunctionReward("flattery", WorldManners.Flattery),
            stages.PpoOptions with { KlCoef = 0, MissingEosPenalty = 0, KlLimit = 1e6 }, hacked,
            new TruthObserver(hacked));
        hacked.Read(TrainerState.Read(stages.Folder("hacked")));
        return adapter;
    }

    private double BestOfFour(AlignStages stages, RewardModel reward, CancellationToken stop) => BestOfN
        .Select(
            loaded.Model, stages.Judging(reward),
            new OnlineOptions
            {
                Generations = 4,
                ResponseLength = stages.PpoOptions.ResponseLength,
                Temperature = stages.PpoOptions.Temperature,
            },
            seed, stop)
        .Average(best => WorldManners.TrueReward(best.Sample));

    private ProgressView View(string stage, bool plain)
    {
        terminal.Line();
        terminal.Line($"== {stage}");
        return ProgressView.For(terminal, plain, 5);
    }

    private void Timed(string stage, Action work) => Timed(stage, () =>
    {
        work();
        return true;
    });

    private T Timed<T>(string stage, Func<T> work)
    {
        var clock = Stopwatch.StartNew();
        var made = work();
        seconds[stage] = Math.Round(clock.Elapsed.TotalSeconds, 3);
        return made;
    }

    /// <summary>Puts the true reward beside the one that is trained on.</summary>
    private sealed class TruthObserver(MetricHistory history) : ITrainerObserver
    {
        public void OnSamples(int step, IReadOnlyList<RewardSample> samples, ReadOnlySpan<float> rewards) =>
            history.Add("true_reward", step, samples.Average(WorldManners.TrueReward));
    }
}
