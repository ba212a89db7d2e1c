using CudaLora.Engine;
using CudaLora.Kernels.Simd;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

public class TrainerTests
{
    [Fact]
    public void Resume_ContinuesBitIdentically()
    {
        using var whole = new TemporaryFolder();
        using var parts = new TemporaryFolder();
        var arguments = Arguments(whole.Path) with { MaxSteps = 12, SaveSteps = 5 };

        var straight = Train(arguments);
        // Stopped in the middle of the second epoch, after a checkpoint, in a process of its own as far as state goes.
        Train(arguments with { OutputDir = parts.Path }, stopAfter: 7);
        var resumed = Train(arguments with { OutputDir = parts.Path, ResumeFromCheckpoint = "true" });

        Assert.Equal(7, resumed.FirstStep);
        Assert.Equal(straight.Weights, resumed.Weights);
        Assert.Equal(straight.Losses[7..], resumed.Losses);
        Assert.Equal(straight.Result.State.NumInputTokensSeen, resumed.Result.State.NumInputTokensSeen);
    }

    [Fact]
    public void ThreadCount_ChangesNoBit()
    {
        using var folder = new TemporaryFolder();
        var arguments = Arguments(folder.Path) with { MaxSteps = 4, SaveStrategy = IntervalStrategy.No };
        var threads = Workers.Count;
        try
        {
            Workers.Count = 1;
            var one = Train(arguments);
            Workers.Count = 3;
            var three = Train(arguments);
            Assert.Equal(one.Weights, three.Weights);
            Assert.Equal(one.Losses, three.Losses);
        }
        finally
        {
            Workers.Count = threads;
        }
    }

    [Fact]
    public void Accumulation_GivesTheLargeBatch()
    {
        using var folder = new TemporaryFolder();
        var arguments = Arguments(folder.Path) with
        {
            MaxSteps = 3,
            PerDeviceTrainBatchSize = 8,
            SaveStrategy = IntervalStrategy.No,
        };
        var large = Train(arguments, dropout: 0);
        var small = Train(arguments with { PerDeviceTrainBatchSize = 1, GradientAccumulationSteps = 8 }, dropout: 0);
        // The same sums in another order: rounding only, grown a little by AdamW's division.
        for (var i = 0; i < 3; i++)
            Assert.Equal(large.Losses[i], small.Losses[i], 1e-5);
        for (var i = 0; i < large.Weights.Length; i++)
            Assert.Equal(large.Weights[i], small.Weights[i], 2e-4f);
    }

    [Fact]
    public void Checkpointing_ChangesNoBitWithDropout()
    {
        using var folder = new TemporaryFolder();
        var arguments = Arguments(folder.Path) with { MaxSteps = 3, SaveStrategy = IntervalStrategy.No };
        var plain = Train(arguments);
        var recomputed = Train(arguments with { GradientCheckpointing = true });
        Assert.Equal(plain.Losses, recomputed.Losses);
        Assert.Equal(plain.Weights, recomputed.Weights);
    }

    [Fact]
    public void Evaluation_KeepsTheBestAndStopsEarly()
    {
        using var folder = new TemporaryFolder();
        var arguments = Arguments(folder.Path) with
        {
            MaxSteps = 200,
            LearningRate = 0.05,
            EvalStrategy = IntervalStrategy.Steps,
            EvalSteps = 5,
            LoadBestModelAtEnd = true,
            EarlyStoppingPatience = 2,
            SaveTotalLimit = 1,
        };
        var run = Train(arguments, evaluate: true);

        Assert.Equal(TrainingEnd.EarlyStop, run.Result.End);
        Assert.True(run.Result.Steps < 200);
        var state = run.Result.State;
        Assert.Equal(run.Evaluations.Min(), state.BestMetric!.Value);
        Assert.True(File.Exists(Path.Combine(state.BestModelCheckpoint!, "adapter_model.safetensors")));
        Assert.Equal(
            File.ReadAllBytes(Path.Combine(state.BestModelCheckpoint!, "adapter_model.safetensors")),
            File.ReadAllBytes(Path.Combine(folder.Path, "adapter_model.safetensors")));
        Assert.True(CheckpointFolders.List(folder.Path).Count <= 2);
    }

    [Fact]
    public void Divergence_StopsWithStepAndBatchAndKeepsTheCheckpoint()
    {
        using var folder = new TemporaryFolder();
        var arguments = Arguments(folder.Path) with
        {
            MaxSteps = 50,
            SaveSteps = 1,
            LearningRate = 1e30,
            MaxGradNorm = 0,
        };
        var error = Assert.Throws<UserErrorException>(() => Train(arguments));
        Assert.Contains("diverged at step", error.Message, StringComparison.Ordinal);
        Assert.Contains("batch", error.Message, StringComparison.Ordinal);
        Assert.NotEmpty(CheckpointFolders.List(folder.Path));
    }

    [Fact]
    public void OtherSeed_IsRefusedOnResume()
    {
        using var folder = new TemporaryFolder();
        var arguments = Arguments(folder.Path) with { MaxSteps = 2, SaveSteps = 1 };
        Train(arguments);
        var error = Assert.Throws<UserErrorException>(
            () => Train(arguments with { ResumeFromCheckpoint = "true", Seed = 7 }));
        Assert.Contains("--seed", error.Message, StringComparison.Ordinal);
    }

    private static Run Train(
        TrainingArguments arguments, int stopAfter = int.MaxValue, double dropout = 0.2, bool evaluate = false)
    {
        using var model = TinyModel();
        using var adapter = LoraAdapter.Create(model, Config(dropout), new Generator((ulong)arguments.Seed));
        using var stop = new CancellationTokenSource();
        var run = new Run(stopAfter, stop);
        var trainer = new Trainer(
            arguments, new LoraFineTuning(adapter), new Sft(), new Batcher(Examples(16), arguments.TrainBatches()),
            evaluate ? new Batcher(Examples(8, 99), arguments.EvalBatches()) : null, observer: run);
        run.Result = trainer.Run(stop.Token);
        run.Weights = [.. adapter.TrainableParameters().SelectMany(p => p.Value.ToArray())];
        return run;
    }

    internal static TrainingArguments Arguments(string folder) => new()
    {
        OutputDir = folder,
        PerDeviceTrainBatchSize = 4,
        LearningRate = 1e-2,
        WarmupSteps = 2,
        SaveSteps = 100,
        MaxSteps = 4,
    };

    internal static LoraConfig Config(double dropout) => new()
    {
        R = 4,
        LoraAlpha = 8,
        LoraDropout = dropout,
        TargetModules = ModuleSelector.AllLinear,
    };

    internal static string TinyModelFolder => Path.Combine(SharedData.Root, "tests", "Golden", "llama");

    internal static CausalLM TinyModel() => CausalLM.Load(TinyModelFolder);

    // Random texts of unequal length whose first third is a prompt.
    internal static List<SftExample> Examples(int count, int seed = 5, int length = 0)
    {
        var random = new Random(seed);
        var examples = new List<SftExample>();
        for (var i = 0; i < count; i++)
        {
            var ids = Enumerable.Range(0, length > 0 ? length : random.Next(9, 30))
                .Select(_ => random.Next(3, 64)).ToArray();
            examples.Add(new SftExample(ids, [.. ids.Select((id, t) => t < ids.Length / 3 ? -100 : id)]));
        }
        return examples;
    }

    private sealed class Run(int stopAfter, CancellationTokenSource stop) : ITrainerObserver
    {
        public TrainingResult Result { get; set; } = null!;

        public float[] Weights { get; set; } = [];

        public int FirstStep { get; private set; }

        public List<double> Losses { get; } = [];

        public List<double> Evaluations { get; } = [];

        public void OnStart(TrainingPlan plan) => FirstStep = plan.FirstStep;

        public void OnStep(in StepReport report)
        {
            Losses.Add(report.Loss);
            if (report.Step == stopAfter)
                stop.Cancel();
        }

        public void OnEvaluate(in EvalReport report) => Evaluations.Add(report.Loss);
    }
}
