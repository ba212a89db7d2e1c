using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Tells several observers the same.</summary>
internal sealed class ObserverGroup(params ITrainerObserver[] observers) : ITrainerObserver
{
    public void OnStart(TrainingPlan plan)
    {
        foreach (var observer in observers) observer.OnStart(plan);
    }

    public void OnStep(in StepReport report)
    {
        foreach (var observer in observers) observer.OnStep(report);
    }

    public void OnEvalProgress(int done, int total)
    {
        foreach (var observer in observers) observer.OnEvalProgress(done, total);
    }

    public void OnEvaluate(in EvalReport report)
    {
        foreach (var observer in observers) observer.OnEvaluate(report);
    }

    public void OnSave(string folder)
    {
        foreach (var observer in observers) observer.OnSave(folder);
    }

    public void OnMessage(string message)
    {
        foreach (var observer in observers) observer.OnMessage(message);
    }

    public void OnSamples(int step, IReadOnlyList<RewardSample> samples, ReadOnlySpan<float> rewards)
    {
        foreach (var observer in observers) observer.OnSamples(step, samples, rewards);
    }
}
