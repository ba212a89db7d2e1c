using System.Text.Json;
using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Where a run stands, as Hugging Face's <c>trainer_state.json</c> (2-space indent, sorted keys, trailing newline), so
/// that tools which plot or resume such runs can read it. The <c>cudalora</c> member holds what is ours: the position
/// in the data and the counters of the random streams.
/// </summary>
public sealed class TrainerState
{
    /// <summary>Name of the file inside a checkpoint or output folder.</summary>
    public const string FileName = "trainer_state.json";

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, NewLine = "\n" };

    /// <summary>Optimiser steps done.</summary>
    public int GlobalStep { get; set; }

    /// <summary>Optimiser steps the run was planned for.</summary>
    public int MaxSteps { get; set; }

    /// <summary>Passes over the data, with fraction.</summary>
    public double Epoch { get; set; }

    /// <summary>Lowest evaluation loss so far.</summary>
    public double? BestMetric { get; set; }

    /// <summary>Step of <see cref="BestMetric"/>.</summary>
    public int? BestGlobalStep { get; set; }

    /// <summary>Checkpoint folder of <see cref="BestMetric"/>.</summary>
    public string? BestModelCheckpoint { get; set; }

    /// <summary>Evaluations since the best one.</summary>
    public int EvaluationsWithoutGain { get; set; }

    /// <summary>Input tokens trained on, padding not counted.</summary>
    public long NumInputTokensSeen { get; set; }

    /// <summary>
    /// Floating-point operations done: 6 per parameter and token for full training, 4 where the base is frozen.
    /// </summary>
    public double TotalFlos { get; set; }

    /// <summary>Micro-batches drawn in the present epoch.</summary>
    public int BatchInEpoch { get; set; }

    /// <summary>Complete passes over the data.</summary>
    public int EpochsDone { get; set; }

    /// <summary>Offset of the generator dropout draws from.</summary>
    public ulong RandomOffset { get; set; }

    /// <summary>Seed the run was started with.</summary>
    public int Seed { get; set; }

    /// <summary>What else a method has to know to go on, such as PPO's KL coefficient; or null.</summary>
    public JsonObject? Method { get; set; }

    /// <summary>Rows of figures, oldest first.</summary>
    public List<JsonObject> LogHistory { get; private init; } = [];

    /// <summary>Reads the file in <paramref name="folder"/>.</summary>
    public static TrainerState Read(string folder)
    {
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
            throw new UserErrorException($"{folder}: no {FileName}: not a checkpoint folder");
        try
        {
            var root = JsonNode.Parse(File.ReadAllBytes(path))!.AsObject();
            var ours = root["cudalora"]?.AsObject()
                ?? throw new UserErrorException(
                    $"{path}: no 'cudalora' member: written by another trainer, cannot resume from it");
            return new TrainerState
            {
                GlobalStep = (int)root["global_step"]!,
                MaxSteps = (int)root["max_steps"]!,
                Epoch = (double)root["epoch"]!,
                BestMetric = (double?)root["best_metric"],
                BestGlobalStep = (int?)root["best_global_step"],
                BestModelCheckpoint = (string?)root["best_model_checkpoint"],
                NumInputTokensSeen = (long)root["num_input_tokens_seen"]!,
                TotalFlos = (double)root["total_flos"]!,
                EvaluationsWithoutGain = (int)ours["evaluations_without_gain"]!,
                BatchInEpoch = (int)ours["batch_in_epoch"]!,
                EpochsDone = (int)ours["epochs_done"]!,
                RandomOffset = (ulong)ours["random_offset"]!,
                Seed = (int)ours["seed"]!,
                Method = ours["method"]?.DeepClone().AsObject(),
                LogHistory = [.. root["log_history"]!.AsArray().Select(row => row!.DeepClone().AsObject())],
            };
        }
        catch (Exception e) when (
            e is JsonException or NullReferenceException or InvalidOperationException or FormatException)
        {
            throw new UserErrorException($"{path}: not a trainer state: {e.Message}", e);
        }
    }

    /// <summary>Writes the file into <paramref name="folder"/>, replacing a former one whole.</summary>
    public void Write(string folder, TrainingArguments arguments) =>
        AtomicFile.WriteText(Path.Combine(folder, FileName), ToJson(arguments).ToJsonString(Indented) + "\n");

    private JsonObject ToJson(TrainingArguments arguments) => new()
    {
        ["best_global_step"] = BestGlobalStep,
        ["best_metric"] = BestMetric,
        ["best_model_checkpoint"] = BestModelCheckpoint,
        ["cudalora"] = new JsonObject
        {
            ["batch_in_epoch"] = BatchInEpoch,
            ["epochs_done"] = EpochsDone,
            ["evaluations_without_gain"] = EvaluationsWithoutGain,
            ["method"] = Method?.DeepClone(),
            ["random_offset"] = RandomOffset,
            ["seed"] = Seed,
        },
        ["epoch"] = Epoch,
        ["eval_steps"] = arguments.EvalSteps,
        ["global_step"] = GlobalStep,
        ["is_hyper_param_search"] = false,
        ["is_local_process_zero"] = true,
        ["is_world_process_zero"] = true,
        ["log_history"] = new JsonArray([.. LogHistory.Select(row => row.DeepClone())]),
        ["logging_steps"] = arguments.LoggingSteps,
        ["max_steps"] = MaxSteps,
        ["num_input_tokens_seen"] = NumInputTokensSeen,
        ["num_train_epochs"] = arguments.NumTrainEpochs,
        ["save_steps"] = arguments.SaveSteps,
        ["stateful_callbacks"] = new JsonObject(),
        ["total_flos"] = TotalFlos,
        ["train_batch_size"] = arguments.PerDeviceTrainBatchSize,
        ["trial_name"] = null,
        ["trial_params"] = null,
    };
}
