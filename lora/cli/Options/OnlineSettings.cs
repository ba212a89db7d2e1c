using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Settings that PPO and GRPO share, with TRL's names.</summary>
internal static class OnlineSettings
{
    public static readonly Setting<string?> Data = Make.Text(
        "data", "Prompts, JSON or JSONL: prompt, messages or instruction; answers become references",
        "data/prompts.jsonl", aka: ["dataset", "train_file"]);

    public static readonly Setting<string?> RewardModel = Make.Text(
        "reward_model", "Adapter of a reward model on the same model, from cudalora reward", "out/rm",
        aka: ["reward_model_path"]);

    public static readonly Setting<string?> Reward = Make.Text(
        "reward", "Instead of a reward model a rule: " + string.Join(", ", RuleRewards.Names), "exact");

    public static readonly Setting<int> Responses = Make.Int(
        "rollout_batch_size", "Responses of a step", 64, "32", 1);

    public static readonly Setting<int> Steps = Make.Int(
        "max_steps", "Steps: sample, reward, update", 100, "200", 1);

    public static readonly Setting<int> BatchSize = Make.Int(
        "per_device_train_batch_size", "Responses per micro-batch", 32, "16", 1, aka: ["batch_size"]);

    public static readonly Setting<int> ResponseLength = Make.Int(
        "response_length", "Most tokens of a response", 53, "128", 1, aka: ["max_completion_length"]);

    public static readonly Setting<double> Temperature = Make.Number(
        "temperature", "Of sampling, and of all probabilities", 1, "0.7", "a number above 0", v => v > 0);

    public static readonly Setting<int?> Epochs = Make.MaybeInt(
        "num_ppo_epochs", "Passes over a step's responses", "2", 1, "4 for PPO, 1 for GRPO", aka: ["num_iterations"]);

    public static readonly Setting<int> MiniBatches = Make.Int(
        "num_mini_batches", "Optimiser steps of a pass", 1, "2", 1);

    public static readonly Setting<double> MissingEos = Make.Number(
        "missing_eos_penalty", "Taken off the reward of responses that do not end by themselves", 0, "1",
        "a number of at least 0", v => v >= 0);

    public static readonly Setting<double> KlLimit = Make.Number(
        "kl_limit", "Stop when the mean divergence of a response is above this, in nats", 200, "50", "a number above 0",
        v => v > 0);

    public static readonly Setting<int> SaveSteps = Make.Int("save_steps", "Steps between checkpoints", 10, "50", 1);

    public static readonly Setting<double> Rate = Make.Number(
        "learning_rate", "Peak learning rate", 1e-5, "1e-4", "a number of at least 0", v => v >= 0, aka: ["lr"]);

    public static readonly Setting<string> Scheduler = Make.Choice(
        "lr_scheduler_type", "How the rate falls", "linear", [.. Engine.Schedule.Names]);

    public static readonly SettingGroup Input = new(
        "Model, prompts and reward", PreferenceSettings.Model, Data, RewardModel, Reward, DataSettings.Template,
        DataSettings.MaxLength, DataSettings.MaxSamples);

    public static readonly SettingGroup Sampling = new(
        "Sampling", Responses, ResponseLength, Temperature, MissingEos, KlLimit);

    public static readonly SettingGroup Training = new(
        "Training", TrainSettings.OutputDir, TrainSettings.Overwrite, Steps, BatchSize, Epochs, MiniBatches, Rate,
        Scheduler, TrainSettings.WarmupSteps, TrainSettings.WeightDecay, TrainSettings.MaxGradNorm, TrainSettings.Optim,
        TrainSettings.Seed, SaveSteps, TrainSettings.SaveLimit, TrainSettings.LoggingSteps, TrainSettings.Resume);

    /// <summary>The trainer's arguments.</summary>
    public static TrainingArguments Arguments(SettingValues values) => new()
    {
        OutputDir = values.Require(TrainSettings.OutputDir),
        MaxSteps = values.Get(Steps),
        PerDeviceTrainBatchSize = values.Get(BatchSize),
        LearningRate = values.Get(Rate),
        LrSchedulerType = values.Get(Scheduler),
        WarmupSteps = values.Get(TrainSettings.WarmupSteps),
        WeightDecay = values.Get(TrainSettings.WeightDecay),
        MaxGradNorm = values.Get(TrainSettings.MaxGradNorm),
        Optim = values.Get(TrainSettings.Optim),
        Seed = values.Get(TrainSettings.Seed),
        SaveSteps = values.Get(SaveSteps),
        SaveTotalLimit = values.Get(TrainSettings.SaveLimit),
        LoggingSteps = values.Get(TrainSettings.LoggingSteps),
        ResumeFromCheckpoint = values.Get(TrainSettings.Resume),
    };

    /// <summary>The rule that rewards, or null where a reward model does.</summary>
    /// <exception cref="UsageException">Neither is given, or both.</exception>
    public static IReward? Rule(SettingValues values)
    {
        if (values.Get(Reward) is null == values.Get(RewardModel) is null)
            throw new UsageException($"either {RewardModel.Flag} or {Reward.Flag} is needed");
        return values.Get(Reward) is { } name ? RuleRewards.Of(name, values.Get(ResponseLength)) : null;
    }

    /// <summary>The prompts of a file that fit in the context with their responses.</summary>
    public static (PromptRecord Record, int[] Ids)[] Prompts(
        SettingValues values, LoadedModel loaded, string data, Action<string> note)
    {
        var encoder = new SftEncoder(loaded.Tokenizer, loaded.Template);
        var records = PreferenceFile.LoadPrompts(data);
        if (values.Get(DataSettings.MaxSamples) is int most) records = [.. records.Take(most)];
        if (values.Get(Reward) is { } rule && RuleRewards.NeedsAnswers(rule)
            && records.Index().FirstOrDefault(r => r.Item.Reference is null) is { Item: not null } bare)
            throw new UserErrorException(
                $"{data}: {Reward.Flag} {rule} compares with an answer, but record {bare.Index + 1} has none");
        var room = Math.Min(values.Get(DataSettings.MaxLength), loaded.Context)
            - values.Get(ResponseLength);
        var all = records.Select(record => (record, Ids: encoder.EncodePrompt(record.Prompt))).ToArray();
        var fitting = all.Where(prompt => prompt.Ids.Length <= room).ToArray();
        if (fitting.Length == 0)
            throw new UserErrorException(
                $"{data}: a prompt must have at most {Math.Max(0, room)} tokens beside a response of "
                + $"{values.Get(ResponseLength)}, but none has: lower "
                + ResponseLength.Flag);
        if (fitting.Length < all.Length)
        {
            note($"{all.Length - fitting.Length} of {all.Length} prompts leave no room for a response and were "
                + "left out");
        }
        return fitting;
    }
}
