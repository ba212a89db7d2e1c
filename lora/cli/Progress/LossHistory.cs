using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>A loss and the optimiser steps done when it was measured.</summary>
internal readonly record struct LossPoint(int Step, double Loss);

/// <summary>Every loss of a run, for the chart.</summary>
internal sealed class LossHistory : ITrainerObserver
{
    public List<LossPoint> Train { get; } = [];

    public List<LossPoint> Eval { get; } = [];

    public void OnStep(in StepReport report) => Train.Add(new LossPoint(report.Step, report.Loss));

    public void OnEvaluate(in EvalReport report) => Eval.Add(new LossPoint(report.Step, report.Loss));
}
