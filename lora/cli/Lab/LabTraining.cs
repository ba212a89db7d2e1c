using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>A fresh copy of the model with the data, to train and to score.</summary>
internal sealed class LabTraining : IDisposable
{
    private const int MostHeldOut = 200;

    private readonly LoadedModel loaded;
    private readonly RecordSet train;
    private readonly RecordSet held;
    private readonly int seed;

    private LabTraining(LoadedModel loaded, RecordSet train, RecordSet held, int seed) =>
        (this.loaded, this.train, this.held, this.seed) = (loaded, train, held, seed);

    public CausalLM Model => loaded.Model;

    /// <summary>Examples of a step.</summary>
    public int BatchSize { get; init; } = 16;

    public static LabTraining Load(LabOptions options, int seed)
    {
        var loaded = LoadedModel.Load(options.Model, "auto", null, options.Note);
        var encoder = new SftEncoder(
            loaded.Tokenizer, loaded.Template, new SftOptions { MaxLength = Math.Min(256, loaded.Context) });
        IReadOnlyList<DataExample> records = DataFile.Load(options.Data);
        IReadOnlyList<DataExample> held = options.EvalData is { } file
            ? DataFile.Load(file)
            : [.. records.Where((_, i) => i % 10 == 9)];
        if (options.EvalData is null) records = [.. records.Where((_, i) => i % 10 != 9)];
        return new LabTraining(
            loaded, RecordSet.Encode(encoder, records, "training", options.Note),
            RecordSet.Encode(encoder, [.. held.Take(MostHeldOut)], "held-out", options.Note), seed);
    }

    /// <summary>A new LoRA adapter on the model; its draws depend on the seed alone.</summary>
    public LoraAdapter Lora(LoraConfig config) => LoraAdapter.Create(Model, config, new Generator((ulong)seed));

    /// <summary>Mean loss per learned token on held-out records.</summary>
    public double HeldOutLoss() =>
        new Evaluator(new Sft(), TrainingRun.HeldBatches(loaded, held, 32)).Run(Model).Loss;

    /// <summary>
    /// Trains at a constant rate; the observer sees every step, and the held-out loss where it is scored. Nothing is
    /// left on disk.
    /// </summary>
    public void Run(
        IFineTuning method, int steps, double rate, ITrainerObserver? observer = null, int scoreEvery = 0)
    {
        var folder = Directory.CreateTempSubdirectory("cudalora-lab-");
        try
        {
            var arguments = new TrainingArguments
            {
                OutputDir = folder.FullName,
                MaxSteps = steps,
                PerDeviceTrainBatchSize = BatchSize,
                LearningRate = rate,
                LrSchedulerType = "constant",
                SaveStrategy = IntervalStrategy.No,
                EvalStrategy = scoreEvery > 0 ? IntervalStrategy.Steps : IntervalStrategy.No,
                EvalSteps = Math.Max(1, scoreEvery),
                GroupByLength = true,
                Seed = seed,
            };
            new Trainer(
                arguments, method, new Sft(), TrainingRun.TrainBatches(loaded, train, arguments),
                scoreEvery > 0 ? TrainingRun.HeldBatches(loaded, held, 32) : null,
                new Generator((ulong)seed), observer).Run();
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    public void Dispose() => loaded.Dispose();
}
