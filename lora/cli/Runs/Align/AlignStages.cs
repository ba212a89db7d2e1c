using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>
/// The trainings of the alignment example, each in a folder of its own below the output. A stage that is complete is
/// read back; one that was cut short goes on from its last checkpoint.
/// </summary>
internal sealed class AlignStages(
    LoadedModel loaded, AlignPlan plan, string output, int seed, bool resume, Func<string, ProgressView> view,
    CancellationToken stop)
{
    private const int LoggingSteps = 5;

    private static readonly LoraConfig Lora = new()
    {
        R = 8,
        LoraAlpha = 16,
        TargetModules = ModuleSelector.AllLinear,
    };

    private readonly SftEncoder encoder = new(
        loaded.Tokenizer, loaded.Template, new SftOptions { MaxLength = loaded.Context });

    /// <summary>Sampling and optimisation of PPO.</summary>
    public PpoOptions PpoOptions { get; } = new()
    {
        Prompts = plan.Responses,
        ResponseLength = 24,
        Temperature = 1,
        Epochs = 4,
        MiniBatches = 2,
        KlCoef = 0.5,
        MissingEosPenalty = 1,
    };

    /// <summary>Where a stage writes.</summary>
    public string Folder(string stage) => Path.Combine(output, stage);

    /// <summary>Prompts with their tokens.</summary>
    public (PromptRecord Record, int[] Ids)[] Prompts(WorldPart part) => [.. WorldManners.Prompts(part)
        .Select(record => (record, encoder.EncodePrompt(record.Prompt)))];

    /// <summary>What a policy is trained with.</summary>
    public OnlineRun Run(IReward reward) => new(
        Prompts(WorldPart.Train), loaded.Tokenizer, loaded.StopIds, reward);

    /// <summary>What a policy is judged with: prompts of the part that figures are of.</summary>
    public OnlineRun Judging(IReward reward) => new(
        [.. Prompts(plan.Judged).Take(plan.HeldOut)], loaded.Tokenizer, loaded.StopIds, reward);

    /// <summary>Teaches the base to answer, in any manner, by training all of it, as the manners have words that it has
    /// never seen: the policy that everything else starts from.</summary>
    public void Sft()
    {
        var folder = Folder("sft");
        if (IsDone(folder))
        {
            loaded.Model.Restore(folder);
        }
        else
        {
            var data = encoder.EncodeAll(WorldManners.Instructions(WorldPart.Train, seed)).Examples;
            var arguments = Arguments("sft", 1e-3) with
            {
                NumTrainEpochs = plan.SftEpochs,
                LrSchedulerType = "cosine",
                WarmupSteps = 10,
                PerDeviceTrainBatchSize = 32,
            };
            Train(folder, observer => new Trainer(
                arguments, new FullFineTuning(loaded.Model), new Sft(), Batches(data, 32, 1), null,
                new Generator((ulong)seed), observer).Run(stop));
            loaded.Model.SetTrainable(false);
        }
        loaded.Model.Save(Folder("base"));
        loaded.Tokenizer.Save(Folder("base"));
    }

    /// <summary>Trains a reward model on the preferences.</summary>
    public RewardModel Reward(string stage, int pairSeed)
    {
        var folder = Folder(stage);
        if (IsDone(folder)) return Frozen(RewardModel.Load(loaded.Model, folder, stage));
        var random = new Generator((ulong)(seed + pairSeed));
        var reward = RewardModel.Create(loaded.Model, Config(Folder("base")), random, stage);
        Train(folder, observer => new Trainer(
            Arguments(stage, 2e-3) with { NumTrainEpochs = 2, PerDeviceTrainBatchSize = 16 },
            new LoraFineTuning(reward.Adapter!), new RewardLoss(0.01), PairBatches(plan.RewardPairs, pairSeed, 16),
            null, random, observer).Run(stop));
        return Frozen(reward);
    }

    /// <summary>Pairs held out.</summary>
    public PreferenceData HeldPairs() => new PreferenceEncoder(encoder, loaded.Context)
        .Pairs(WorldManners.Pairs(plan.Judged, plan.HeldOut, seed));

    /// <summary>PPO against a reward.</summary>
    public LoraAdapter Ppo(string stage, IReward reward, PpoOptions options, params ITrainerObserver[] watching)
    {
        var folder = Folder(stage);
        if (IsDone(folder)) return LoraAdapter.Load(loaded.Model, folder, stage);
        var random = new Generator((ulong)seed);
        var adapter = LoraAdapter.Create(loaded.Model, Config(Folder("base")), random, stage);
        using var head = new ValueHead(loaded.Model);
        Train(folder, observer => new PpoTrainer(
            Online(stage), options, new PolicyFineTuning(adapter, head),
            Run(reward) with { Random = random, Observer = observer }).Run(stop), watching);
        return adapter;
    }

    /// <summary>GRPO against a reward.</summary>
    public LoraAdapter Grpo(string stage, IReward reward)
    {
        var folder = Folder(stage);
        if (IsDone(folder)) return LoraAdapter.Load(loaded.Model, folder, stage);
        var random = new Generator((ulong)seed);
        var adapter = LoraAdapter.Create(loaded.Model, Config(Folder("base")), random, stage);
        var options = new GrpoOptions
        {
            Prompts = plan.Responses / 8,
            ResponseLength = PpoOptions.ResponseLength,
            Epochs = 2,
            MiniBatches = 2,
            Beta = 0.04,
            EpsilonHigh = 0.28,
        };
        Train(folder, observer => new GrpoTrainer(
            Online(stage), options, new PolicyFineTuning(adapter),
            Run(reward) with { Random = random, Observer = observer }).Run(stop));
        return adapter;
    }

    /// <summary>DPO on the pairs of the reward model.</summary>
    public LoraAdapter Dpo(string stage)
    {
        var folder = Folder(stage);
        if (IsDone(folder)) return LoraAdapter.Load(loaded.Model, folder, stage);
        var random = new Generator((ulong)seed);
        var adapter = LoraAdapter.Create(loaded.Model, Config(Folder("base")), random, stage);
        Train(folder, observer => new Trainer(
            Arguments(stage, 2e-4) with { NumTrainEpochs = 2, PerDeviceTrainBatchSize = 16 },
            new LoraFineTuning(adapter), new Dpo(new DpoOptions { Beta = 0.5 }), PairBatches(plan.RewardPairs, 1, 16),
            null, random, observer)
            .Run(stop));
        return adapter;
    }

    private static RewardModel Frozen(RewardModel reward)
    {
        reward.Adapter!.SetTrainable(false);
        reward.Adapter.Deactivate();
        return reward;
    }

    private static LoraConfig Config(string baseModel) => Lora with { BaseModel = baseModel };

    private TrainingArguments Online(string stage) => Arguments(stage, 5e-4) with
    {
        MaxSteps = plan.PpoSteps,
        LrSchedulerType = "constant",
        SaveSteps = 10,
        PerDeviceTrainBatchSize = plan.Responses / 2,
    };

    private TrainingArguments Arguments(string stage, double rate) => new()
    {
        OutputDir = Folder(stage),
        LearningRate = rate,
        LoggingSteps = LoggingSteps,
        SaveSteps = 50,
        SaveTotalLimit = 2,
        Seed = seed,
        ResumeFromCheckpoint = resume && HasCheckpoint(Folder(stage)) ? "true" : null,
    };

    private Batcher PairBatches(int count, int pairSeed, int size) => Batches(
        new PreferenceEncoder(encoder, loaded.Context)
            .Pairs(WorldManners.Pairs(WorldPart.Train, count, seed + pairSeed)).Examples,
        size, PreferenceData.GroupSize);

    private Batcher Batches(IReadOnlyList<SftExample> examples, int size, int group) => new(
        examples,
        new BatcherOptions { BatchSize = size, GroupSize = group, Seed = seed, PadId = loaded.Tokenizer.PadId ?? 0 });

    private void Train(
        string folder, Func<ITrainerObserver, TrainingResult> train, params ITrainerObserver[] watching)
    {
        Directory.CreateDirectory(folder);
        var progress = view(Path.GetFileName(folder));
        using var log = new TrainingLog(folder, LoggingSteps, new LossHistory());
        using var samples = new SampleLog(folder);
        TrainingResult? result = null;
        progress.Show(() => result = train(new ObserverGroup([log, samples, progress, .. watching])));
        if (result!.End == TrainingEnd.Interrupted)
            throw new OperationCanceledException();
    }

    // Complete only if it was asked to go on; a new run begins anew.
    private bool IsDone(string folder)
    {
        if (!resume || !File.Exists(Path.Combine(folder, TrainerState.FileName))) return false;
        var state = TrainerState.Read(folder);
        return state.GlobalStep >= state.MaxSteps;
    }

    private static bool HasCheckpoint(string folder) =>
        Directory.Exists(folder) && Directory.EnumerateDirectories(folder, "checkpoint-*")
            .Any(checkpoint => File.Exists(Path.Combine(checkpoint, TrainerState.FileName)));
}
