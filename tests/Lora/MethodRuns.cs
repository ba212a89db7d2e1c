using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>Short trainings of any method on the tiny model.</summary>
internal static class MethodRuns
{
    /// <summary>Sixteen texts in which each token is followed by the next number.</summary>
    public static Batcher Batches(int size = 2) => new(
        [.. Enumerable.Range(0, 16).Select(i =>
        {
            var ids = Enumerable.Range(0, 5 + (i % 3)).Select(t => (i + t) % 20).ToArray();
            return new SftExample(ids, ids);
        })],
        new BatcherOptions { BatchSize = size, PadToMultipleOf = 1 });

    /// <summary>Mean loss over all texts.</summary>
    public static double Loss(CausalLM model) => new Evaluator(new Sft(), Batches(16)).Run(model).Loss;

    /// <summary>Trains a while and returns the losses before and after.</summary>
    public static (double Before, double After) Train(
        IFineTuning method, string output, int steps = 30, double rate = 1e-2, bool checkpointing = false)
    {
        var before = Loss(method.Model);
        method.Model.GradientCheckpointing = checkpointing;
        var arguments = new TrainingArguments
        {
            OutputDir = output,
            MaxSteps = steps,
            LearningRate = rate,
            PerDeviceTrainBatchSize = 4,
            SaveStrategy = IntervalStrategy.No,
        };
        new Trainer(arguments, method, new Sft(), Batches(4)).Run(CancellationToken.None);
        return (before, Loss(method.Model));
    }

    /// <summary>Asks to stop after a step.</summary>
    internal sealed class StopAt(int step, CancellationTokenSource stop) : ITrainerObserver
    {
        public void OnStep(in StepReport report)
        {
            if (report.Step >= step)
                stop.Cancel();
        }
    }
}
