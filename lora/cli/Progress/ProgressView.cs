using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>What a person sees while a run goes on.</summary>
internal abstract class ProgressView : ITrainerObserver
{
    /// <summary>A live view on a screen, plain lines elsewhere.</summary>
    public static ProgressView For(Terminal terminal, bool plain, int loggingSteps) =>
        terminal.IsLive && terminal.Ansi.Profile.Capabilities.Ansi && !plain
            ? new LiveProgress(terminal)
            : new PlainProgress(terminal, loggingSteps);

    /// <summary>Runs <paramref name="training"/> while the view is up.</summary>
    public abstract void Show(Action training);

    public abstract void OnStart(TrainingPlan plan);

    public abstract void OnStep(in StepReport report);

    public virtual void OnEvalProgress(int done, int total)
    {
    }

    public abstract void OnEvaluate(in EvalReport report);

    public abstract void OnSave(string folder);

    public abstract void OnMessage(string message);

    /// <summary>What a run is about to do, in one or two lines.</summary>
    protected static string Describe(TrainingPlan plan)
    {
        var share = 100.0 * plan.TrainableParameters / Math.Max(1, plan.TotalParameters);
        var held = plan.EvalExamples > 0 ? $", {Figures.Count(plan.EvalExamples)} held out" : "";
        var from = plan.FirstStep > 0 ? $", going on after step {plan.FirstStep}" : "";
        return $"{plan.Method}: {Figures.Count(plan.TrainableParameters)} of {Figures.Count(plan.TotalParameters)} "
            + $"parameters are trained ({Figures.Short(share)} %)\n{Figures.Count(plan.TotalSteps)} steps on "
            + $"{Figures.Count(plan.Examples)} examples{held}{from}";
    }
}
