using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>What <c>train</c> and <c>pretrain</c> take about the run itself; names and meanings as in Hugging
/// Face.</summary>
internal static class TrainSettings
{
    private static readonly string[] Strategies = ["no", "steps", "epoch"];

    public static readonly Setting<string?> OutputDir = Make.Text(
        "output_dir", "Folder for the result, checkpoints, logs and the chart", "out/alpaca", "out/train",
        aka: ["output"]);

    public static readonly Setting<bool> Overwrite = Make.Switch(
        "overwrite_output_dir", "Start over in a folder that holds a run which is not finished; its checkpoints are deleted");

    public static readonly Setting<double> Epochs = Make.Number(
        "num_train_epochs", "Passes over the data", 3, "1", "a number above 0", v => v > 0, aka: ["epochs"]);

    public static readonly Setting<int?> MaxSteps = Make.MaybeInt(
        "max_steps", "Optimiser steps, whatever the epochs", "200", 1, "as the epochs give");

    public static readonly Setting<int> BatchSize = Make.Int(
        "per_device_train_batch_size", "Examples per micro-batch", 8, "16", 1, aka: ["batch_size"]);

    public static readonly Setting<int> Accumulation = Make.Int(
        "gradient_accumulation_steps", "Micro-batches per optimiser step", 1, "4", 1);

    public static readonly Setting<double?> LearningRate = Make.MaybeNumber(
        "learning_rate", "Peak learning rate", "2e-4", "a number of at least 0", v => v >= 0,
        "as suits the method: 1e-3 with LoRA, 5e-5 in full", aka: ["lr"]);

    public static readonly Setting<double> NeftuneNoiseAlpha = Make.Number(
        "neftune_noise_alpha", "NEFTune: noise on the embeddings in training; 0 none", 0, "5", "a number of at least 0",
        v => v >= 0);

    public static readonly Setting<string> Scheduler = Make.Choice(
        "lr_scheduler_type", "How the rate falls", "linear", [.. Schedule.Names]);

    public static readonly Setting<double> WarmupSteps = Make.Number(
        "warmup_steps", "Steps in which the rate rises from 0; below 1 a share of all", 0, "20",
        "a number of at least 0",
        v => v >= 0);

    public static readonly Setting<double> WarmupRatio = Make.Number(
        "warmup_ratio", "The same as a share of all steps", 0, "0.1", "a number from 0 to below 1",
        v => v is >= 0 and < 1);

    public static readonly Setting<double> WeightDecay = Make.Number(
        "weight_decay", "Decoupled weight decay of AdamW", 0, "0.01", "a number of at least 0", v => v >= 0);

    public static readonly Setting<double> MaxGradNorm = Make.Number(
        "max_grad_norm", "Gradient norm above which gradients are scaled down; 0 never", 1, "0.5",
        "a number of at least 0",
        v => v >= 0);

    public static readonly Setting<string> Optim = Make.Choice(
        "optim", "AdamW with moments in 32 bits, or in 8-bit codes: 2 bytes per trained value instead of 8; paged, "
            + "they live in host memory and pass by the CUDA device in pages", "adamw_torch", [.. OptimizerNames.All]);

    public static readonly Setting<double> Beta1 = Make.Number(
        "adam_beta1", "AdamW's first decay", 0.9, "0.9", "a number from 0 to below 1", v => v is >= 0 and < 1);

    public static readonly Setting<double> Beta2 = Make.Number(
        "adam_beta2", "AdamW's second decay", 0.999, "0.95", "a number from 0 to below 1", v => v is >= 0 and < 1);

    public static readonly Setting<double> Epsilon = Make.Number(
        "adam_epsilon", "AdamW's epsilon", 1e-8, "1e-6", "a number above 0", v => v > 0);

    public static readonly Setting<bool> Checkpointing = Make.Switch(
        "gradient_checkpointing", "Less memory, a third more time: keep block inputs only");

    public static readonly Setting<int> Seed = Make.Int(
        "seed", "Seed of every random draw; the same seed gives the same result", 42, "7", 0);

    public static readonly Setting<string> EvalStrategy = Make.Choice(
        "eval_strategy", "When the held-out set is scored", "steps", Strategies);

    public static readonly Setting<int?> EvalSteps = Make.MaybeInt(
        "eval_steps", "Steps between scorings", "50", 1, "a tenth of the run, at most 500");

    public static readonly Setting<int> EvalBatchSize = Make.Int(
        "per_device_eval_batch_size", "Examples per scoring batch", 8, "32", 1);

    public static readonly Setting<int> Patience = Make.Int(
        "early_stopping_patience", "Stop after so many scorings without a better loss; 0 never", 0, "3", 0);

    public static readonly Setting<bool> LoadBest = Make.Switch(
        "load_best_model_at_end", "End with the weights of the best scoring");

    public static readonly Setting<string> SaveStrategy = Make.Choice(
        "save_strategy", "When checkpoints are written", "steps", Strategies);

    public static readonly Setting<int?> SaveSteps = Make.MaybeInt(
        "save_steps", "Steps between checkpoints", "100", 1, "as eval-steps");

    public static readonly Setting<int> SaveLimit = Make.Int(
        "save_total_limit", "Checkpoints kept, the best one always; 0 all", 2, "5", 0);

    public static readonly Setting<int> LoggingSteps = Make.Int(
        "logging_steps", "Steps between log rows", 10, "1", 1);

    public static readonly Setting<string?> Resume = Make.Text(
        "resume_from_checkpoint", "Go on from this checkpoint folder, or 'true' for the newest of the output folder",
        "true");

    public static readonly SettingGroup Training = new(
        "Training", OutputDir, Overwrite, Epochs, MaxSteps, BatchSize, Accumulation, LearningRate, Scheduler,
        WarmupSteps, WarmupRatio, WeightDecay, MaxGradNorm, Optim, Beta1, Beta2, Epsilon, Checkpointing, Seed);

    public static readonly SettingGroup Noise = new("Noise", NeftuneNoiseAlpha);

    public static readonly SettingGroup Watching = new(
        "Scoring, saving, logging", EvalStrategy, EvalSteps, EvalBatchSize, Patience, LoadBest, SaveStrategy, SaveSteps,
        SaveLimit, LoggingSteps, Resume);

    public static readonly SettingGroup Machine = new(
        "Machine", SharedSettings.Device, SharedSettings.ComputeType, SharedSettings.LoraStrategy,
        SharedSettings.Threads, SharedSettings.NoProgress);

    /// <summary>The trainer's arguments.</summary>
    /// <param name="values">What the user set.</param>
    /// <param name="examples">Training examples, from which the run's length follows.</param>
    /// <param name="hasEval">Whether there is a held-out set.</param>
    /// <param name="defaultRate">Learning rate if none was given.</param>
    public static TrainingArguments Arguments(SettingValues values, int examples, bool hasEval, double defaultRate)
    {
        var (batch, accumulation) = (values.Get(BatchSize), values.Get(Accumulation));
        var perEpoch = Math.Ceiling(Math.Ceiling((double)examples / batch) / accumulation);
        var total = values.Get(MaxSteps) ?? Math.Ceiling(perEpoch * values.Get(Epochs));
        var interval = values.Get(EvalSteps) ?? (int)Math.Clamp(total / 10, 1, 500);
        if (values.IsGiven(WarmupSteps) && values.IsGiven(WarmupRatio))
            throw new UsageException($"{WarmupSteps.Flag} and {WarmupRatio.Flag} say the same: give one of them");
        return new TrainingArguments
        {
            OutputDir = values.Require(OutputDir),
            PerDeviceTrainBatchSize = batch,
            PerDeviceEvalBatchSize = values.Get(EvalBatchSize),
            GradientAccumulationSteps = accumulation,
            LearningRate = values.Get(LearningRate) ?? defaultRate,
            WeightDecay = values.Get(WeightDecay),
            Optim = values.Get(Optim),
            AdamBeta1 = values.Get(Beta1),
            AdamBeta2 = values.Get(Beta2),
            AdamEpsilon = values.Get(Epsilon),
            MaxGradNorm = values.Get(MaxGradNorm),
            NumTrainEpochs = values.Get(Epochs),
            MaxSteps = values.Get(MaxSteps) ?? -1,
            LrSchedulerType = values.Get(Scheduler),
            WarmupSteps = values.IsGiven(WarmupRatio) ? values.Get(WarmupRatio) : values.Get(WarmupSteps),
            LoggingSteps = values.Get(LoggingSteps),
            EvalStrategy = hasEval ? Strategy(values.Get(EvalStrategy)) : IntervalStrategy.No,
            EvalSteps = interval,
            SaveStrategy = Strategy(values.Get(SaveStrategy)),
            SaveSteps = values.Get(SaveSteps) ?? interval,
            SaveTotalLimit = values.Get(SaveLimit),
            LoadBestModelAtEnd = hasEval && values.Get(LoadBest),
            EarlyStoppingPatience = hasEval ? values.Get(Patience) : 0,
            Seed = values.Get(Seed),
            GroupByLength = values.Get(DataSettings.GroupByLength),
            Packing = values.Get(DataSettings.Packing),
            MaxLength = values.Get(DataSettings.MaxLength),
            GradientCheckpointing = values.Get(Checkpointing),
            ResumeFromCheckpoint = values.Get(Resume),
        };
    }

    /// <summary>Whether the optimiser's moments are 8-bit codes.</summary>
    public static bool IsEightBit(SettingValues values) => OptimizerNames.IsEightBit(values.Get(Optim));

    /// <summary>One line where paging changes nothing.</summary>
    public static void NotePaging(SettingValues values, Device device, Terminal terminal)
    {
        if (OptimizerNames.IsPaged(values.Get(Optim)) && device.Kind == DeviceKind.Cpu)
            terminal.Line(
                $"note: {Optim.Flag} {values.Get(Optim)}: on the CPU optimiser states are in host memory as it is; "
                + "nothing is paged");
    }

    private static IntervalStrategy Strategy(string name) => name switch
    {
        "steps" => IntervalStrategy.Steps,
        "epoch" => IntervalStrategy.Epoch,
        _ => IntervalStrategy.No,
    };
}
