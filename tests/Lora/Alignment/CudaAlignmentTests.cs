using CudaLora.Engine;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>
/// The same objectives on the CUDA device, eager and as replayed graphs, and a PPO step that samples there. The
/// tolerances are those of CudaTrainingTests: both devices add the same products in another order.
/// </summary>
public class CudaAlignmentTests
{
    private const int Steps = 4;

    public static TheoryData<string, string> Objectives
    {
        get
        {
            var rows = new TheoryData<string, string>();
            string[] devices = DriverProbe.TryFindCuda(out _, out _) ? ["emulator", "cuda"] : ["emulator"];
            foreach (var device in devices)
            {
                foreach (var objective in (string[])["dpo", "ipo", "orpo", "kto", "reward", "ppo", "grpo"])
                    rows.Add(device, objective);
            }
            return rows;
        }
    }

    public static TheoryData<string> Devices =>
        DriverProbe.TryFindCuda(out _, out _) ? ["emulator", "cuda"] : ["emulator"];

    [Theory]
    [MemberData(nameof(Objectives))]
    public void StepsAreThoseOfTheCpu_AndGraphsReplayThem(string name, string objective)
    {
        var expected = Train(new ModelPlacement(), objective, graphs: false);
        using var device = Open(name);
        var eager = Train(new ModelPlacement { Device = device }, objective, graphs: false);
        var replayed = Train(new ModelPlacement { Device = device }, objective, graphs: true);
        for (var i = 0; i < Steps; i++)
            Assert.Equal(expected.Losses[i], eager.Losses[i], 1e-4);
        AlignmentGolden.AssertNear(expected.Weights, eager.Weights, 5e-4, objective);
        Assert.Equal(eager.Losses, replayed.Losses);
        Assert.Equal(eager.Weights, replayed.Weights);
        Assert.True(replayed.Graphs > 0, "no step was captured");
        Assert.Equal(expected.Metrics.Keys, replayed.Metrics.Keys);
        // A token on the edge of its clip range may fall on either side: two of the 120 that four steps see.
        foreach (var (key, value) in expected.Metrics)
            Assert.Equal(
                value, replayed.Metrics[key],
                key.Contains("clip", StringComparison.Ordinal) ? 2.0 / 120 : 1e-3 * (1 + Math.Abs(value)));
    }

    [Theory]
    [MemberData(nameof(Devices))]
    public void PpoSamplesScoresAndUpdatesThere(string name)
    {
        using var folder = new TemporaryFolder();
        using var device = Open(name);
        var (losses, recorder) = Ppo(new ModelPlacement { Device = device }, folder.File("device"));
        var (expected, cpu) = Ppo(new ModelPlacement(), folder.File("cpu"));
        Assert.Equal(expected, losses, 1e-3);
        Assert.Equal(cpu["objective/scores"], recorder["objective/scores"], 1e-6);
        Assert.Equal(cpu["objective/entropy"], recorder["objective/entropy"], 1e-2);
        Assert.Equal(cpu["completions/mean_length"], recorder["completions/mean_length"]);
    }

    private static CudaDevice Open(string name) => name == "emulator"
        ? new CudaDevice(new EmulatedDriver(), ownsDriver: true)
        : DriverProbe.TryFindCuda(out var driver, out var reason)
            ? new CudaDevice(driver, ownsDriver: true)
            : throw new InvalidOperationException(reason);

    private static (double Loss, IReadOnlyDictionary<string, double> Metrics) Ppo(
        ModelPlacement placement, string output)
    {
        var tokenizer = TinyTokenizer.Make();
        using var model = CausalLM.Load(Llama, placement);
        using var adapter = LoraAdapter.Create(model, TrainerTests.Config(0), new Generator(1));
        using var head = new ValueHead(model);
        var options = new PpoOptions { Prompts = 4, ResponseLength = 4, Temperature = 1, Epochs = 1 };
        var recorder = new Recorder();
        var record = new PromptRecord(new PromptExample("", ""));
        var result = new PpoTrainer(
            new TrainingArguments { OutputDir = output, MaxSteps = 1, SaveStrategy = IntervalStrategy.No }, options,
            new PolicyFineTuning(adapter, head),
            new OnlineRun(
                [(record, [3, 4, 5]), (record, [6, 7])], tokenizer, [2],
                new FunctionReward("even", sample => sample.ResponseIds.Count(id => id % 2 == 0)))
            {
                Observer = recorder,
            }).Run(TestContext.Current.CancellationToken);
        return (result.TrainLoss, recorder.Last!);
    }

    private static (double[] Losses, float[] Weights, int Graphs, IReadOnlyDictionary<string, double> Metrics) Train(
        ModelPlacement placement, string name, bool graphs)
    {
        using var golden = new AlignmentGolden();
        using var model = CausalLM.Load(Llama, placement);
        using var adapter = name == "reward"
            ? RewardModel.Create(model, TrainerTests.Config(0), new Generator(1)).Adapter!
            : LoraAdapter.Create(model, TrainerTests.Config(0), new Generator(1));
        using var head = new ValueHead(model);
        var method = new PolicyFineTuning(adapter, name == "ppo" ? head : null);
        IMeasuredObjective objective = name switch
        {
            "ipo" => new Dpo(new DpoOptions { Loss = DpoLoss.Ipo }),
            "orpo" => new Orpo(),
            "kto" => new Kto(),
            "reward" => new RewardLoss(0.01),
            "ppo" => new PpoObjective(new PpoOptions { EntropyCoef = 0.01 }, head),
            "grpo" => new GrpoObjective(new GrpoOptions { Beta = 0.04 }),
            _ => new Dpo(),
        };
        IReadOnlyList<SftExample> rows = name is "ppo" or "grpo"
            ? Rollouts(golden)
            : golden.Rows((i, ids, labels) => new ResponseExample(ids, labels) { Desirable = i != 2 });
        var arguments = TrainerTests.Arguments("unused") with { CudaGraphs = graphs, LearningRate = 1e-3 };
        using var runner = new StepRunner(arguments, method, objective);
        var data = new Batcher(rows, new BatcherOptions
        {
            BatchSize = name is "ppo" or "grpo" ? 6 : 3,
            GroupSize = name is "ppo" or "grpo" ? 1 : 2,
        });
        var losses = new double[Steps];
        for (var i = 0; i < Steps; i++)
            losses[i] = runner.Run(data, 1, 1).Loss;
        return (
            losses,
            [.. method.Groups(arguments).SelectMany(g => g.Parameters).SelectMany(p => p.Value.ToArray())],
            runner.GraphCount, objective.TakeMetrics(training: false));
    }

    private static RolloutExample[] Rollouts(AlignmentGolden golden)
    {
        var rows = golden.Rollouts();
        for (var i = 0; i < rows.Length; i++)
        {
            rows[i].LogProbs = golden.Row("ppo.logprobs", i);
            rows[i].Reference = golden.Row("ppo.reference", i);
            rows[i].Values = golden.Row("ppo.values", i, states: true);
            rows[i].Advantages = golden.Row("ppo.advantages", i);
            rows[i].Returns = golden.Row("ppo.returns", i, states: true);
        }
        return rows;
    }

    private static string Llama => Path.Combine(SharedData.Root, "tests", "Golden", "llama");

    private sealed class Recorder : ITrainerObserver
    {
        public IReadOnlyDictionary<string, double>? Last { get; private set; }

        public void OnStep(in StepReport report) => Last = report.Metrics;
    }
}
