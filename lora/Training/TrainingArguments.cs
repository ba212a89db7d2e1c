namespace CudaLora.Lora;

/// <summary>When something recurs during training.</summary>
public enum IntervalStrategy
{
    /// <summary>Never.</summary>
    No,

    /// <summary>Every so many optimiser steps.</summary>
    Steps,

    /// <summary>At the end of each epoch.</summary>
    Epoch,
}

/// <summary>
/// Options of a training run. Names, meanings and defaults follow Hugging Face's <c>TrainingArguments</c>, except where
/// a summary says otherwise.
/// </summary>
public sealed record TrainingArguments
{
    /// <summary>Folder for checkpoints, logs, the chart and the result.</summary>
    public required string OutputDir { get; init; }

    /// <summary>Examples (or packed rows) per micro-batch: see <see cref="TrainBatches"/>.</summary>
    public int PerDeviceTrainBatchSize { get; init; } = 8;

    /// <summary>Examples per evaluation batch: see <see cref="EvalBatches"/>.</summary>
    public int PerDeviceEvalBatchSize { get; init; } = 8;

    /// <summary>
    /// Micro-batches per optimiser step. The loss is normalised over all of them, so the result is that of one large
    /// batch.
    /// </summary>
    public int GradientAccumulationSteps { get; init; } = 1;

    /// <summary>Peak learning rate.</summary>
    public double LearningRate { get; init; } = 5e-5;

    /// <summary>Decoupled weight decay; biases and norm weights are exempt.</summary>
    public double WeightDecay { get; init; }

    /// <summary>The optimiser, one of <see cref="OptimizerNames.All"/>.</summary>
    public string Optim { get; init; } = "adamw_torch";

    /// <summary>AdamW's first-moment decay.</summary>
    public double AdamBeta1 { get; init; } = 0.9;

    /// <summary>AdamW's second-moment decay.</summary>
    public double AdamBeta2 { get; init; } = 0.999;

    /// <summary>AdamW's epsilon.</summary>
    public double AdamEpsilon { get; init; } = 1e-8;

    /// <summary>Global gradient-norm limit; 0 switches clipping off.</summary>
    public double MaxGradNorm { get; init; } = 1.0;

    /// <summary>
    /// Captures a step as one CUDA graph when its shape comes the second time, and replays it; not one of Hugging
    /// Face's. Off, every step is queued launch by launch, to the same bits.
    /// </summary>
    public bool CudaGraphs { get; init; } = true;

    /// <summary>Passes over the training set.</summary>
    public double NumTrainEpochs { get; init; } = 3;

    /// <summary>Optimiser steps; when positive it overrides <see cref="NumTrainEpochs"/>.</summary>
    public int MaxSteps { get; init; } = -1;

    /// <summary>
    /// Schedule name: linear, cosine, cosine_with_restarts, cosine_with_min_lr, polynomial, inverse_sqrt, constant,
    /// constant_with_warmup.
    /// </summary>
    public string LrSchedulerType { get; init; } = "linear";

    /// <summary>Warm-up steps; a value below 1 is a share of all steps.</summary>
    public double WarmupSteps { get; init; }

    /// <summary>Optimiser steps between log rows.</summary>
    public int LoggingSteps { get; init; } = 10;

    /// <summary>When the evaluation set is scored.</summary>
    public IntervalStrategy EvalStrategy { get; init; } = IntervalStrategy.No;

    /// <summary>Steps between evaluations.</summary>
    public int EvalSteps { get; init; } = 500;

    /// <summary>When checkpoints are written.</summary>
    public IntervalStrategy SaveStrategy { get; init; } = IntervalStrategy.Steps;

    /// <summary>Steps between checkpoints.</summary>
    public int SaveSteps { get; init; } = 500;

    /// <summary>Most checkpoints kept; the best one is never deleted. 0 keeps all.</summary>
    public int SaveTotalLimit { get; init; } = 2;

    /// <summary>Puts the weights with the lowest evaluation loss back at the end.</summary>
    public bool LoadBestModelAtEnd { get; init; }

    /// <summary>Evaluations without a better loss before training stops; 0 never stops early.</summary>
    public int EarlyStoppingPatience { get; init; }

    /// <summary>Seed of every random draw: initialisation, order, dropout.</summary>
    public int Seed { get; init; } = 42;

    /// <summary>Batches examples of similar length, to pad less: see <see cref="TrainBatches"/>.</summary>
    public bool GroupByLength { get; init; }

    /// <summary>
    /// Packs several examples into one row, without attention across them: see <see cref="TrainBatches"/>.
    /// </summary>
    public bool Packing { get; init; }

    /// <summary>
    /// Longest example in tokens, and room of a packed row; <see cref="SftOptions.MaxLength"/> truncates longer ones.
    /// </summary>
    public int MaxLength { get; init; } = 1024;

    /// <summary>Keeps only block inputs and recomputes the rest in backward.</summary>
    public bool GradientCheckpointing { get; init; }

    /// <summary>Folder of a checkpoint to continue from, or "true" for the newest in <see cref="OutputDir"/>.</summary>
    public string? ResumeFromCheckpoint { get; init; }

    /// <summary>How a <see cref="Batcher"/> makes the training batches that these options ask for.</summary>
    /// <param name="padId">Id written into padding: <see cref="Tokenizer.PadId"/>.</param>
    public BatcherOptions TrainBatches(int? padId = null) => new()
    {
        BatchSize = PerDeviceTrainBatchSize,
        Seed = Seed,
        GroupByLength = GroupByLength,
        Pack = Packing,
        RowLength = MaxLength,
        PadId = padId ?? 0,
    };

    /// <summary>As <see cref="TrainBatches"/>, for evaluation: in the order of the data, unpacked.</summary>
    /// <param name="padId">Id written into padding: <see cref="Tokenizer.PadId"/>.</param>
    public BatcherOptions EvalBatches(int? padId = null) => new()
    {
        BatchSize = PerDeviceEvalBatchSize,
        Shuffle = false,
        PadId = padId ?? 0,
    };
}
