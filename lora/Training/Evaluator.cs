using System.Diagnostics;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Scores a held-out set with the training objective, without gradients or dropout.</summary>
/// <param name="objective">The objective.</param>
/// <param name="data">Held-out examples in a fixed order.</param>
public sealed class Evaluator(IObjective objective, Batcher data)
{
    private readonly Batch batch = new();

    /// <summary>What the objective measured in the last pass, beyond the loss.</summary>
    public IReadOnlyDictionary<string, double>? Metrics { get; private set; }

    /// <summary>Mean loss per labelled token over one pass, and how long it took.</summary>
    public (double Loss, double Seconds, int Examples) Run(CausalLM model, Action<int, int>? progress = null)
    {
        var watch = Stopwatch.StartNew();
        using var evaluating = TrainingMode.Off(model);
        data.State = default;
        using var mode = GradMode.NoGrad();
        using var inputs = new InputSet(model.Device);
        var (sum, labels, examples) = (0.0, 0L, 0);
        for (var i = 0; i < data.BatchesPerEpoch; i++)
        {
            data.Next(batch);
            examples += batch.ExampleCount;
            if (batch.LabelCount > 0)
            {
                using var scope = TensorScope.Begin();
                var weight = objective.Weight(batch);
                sum += objective.Loss(model, batch, 1f / weight, inputs).Item() * weight;
                labels += weight;
            }
            progress?.Invoke(i + 1, data.BatchesPerEpoch);
        }
        Metrics = (objective as IMeasuredObjective)?.TakeMetrics(training: false);
        return (labels == 0 ? 0 : sum / labels, watch.Elapsed.TotalSeconds, examples);
    }
}
