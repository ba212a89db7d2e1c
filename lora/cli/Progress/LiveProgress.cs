using System.Diagnostics;
using System.Globalization;
using CudaLora.Lora;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace CudaLora.Cli;

/// <summary>A view that is redrawn in place: bar, loss with a sparkline, rate, speed, time left, last
/// evaluation.</summary>
internal sealed class LiveProgress(Terminal terminal) : ProgressView
{
    private static readonly TimeSpan Frame = TimeSpan.FromMilliseconds(120);

    private readonly List<double> losses = [];
    private readonly Stopwatch clock = new();
    private LiveDisplayContext? live;
    private TimeSpan drawn;
    private TrainingPlan? plan;
    private StepReport step;
    private EvalReport? eval;
    private EvalReport? best;
    private (int Done, int Total) scoring;

    public override void Show(Action training)
    {
        var display = terminal.Ansi.Live(new Text("")).AutoClear(false);
        display.Start(context =>
        {
            live = context;
            try
            {
                training();
                Draw(now: true);
            }
            finally
            {
                live = null;
            }
        });
    }

    public override void OnStart(TrainingPlan plan)
    {
        this.plan = plan;
        step = new StepReport(plan.FirstStep, 0, double.NaN, 0, 0, 0, TimeSpan.Zero);
        clock.Start();
        terminal.Ansi.WriteLine(Describe(plan));
        Draw(now: true);
    }

    public override void OnStep(in StepReport report)
    {
        step = report;
        scoring = default;
        losses.Add(report.Loss);
        Draw(now: report.Step == plan?.TotalSteps);
    }

    public override void OnEvalProgress(int done, int total)
    {
        scoring = (done, total);
        Draw(now: false);
    }

    public override void OnEvaluate(in EvalReport report)
    {
        eval = report;
        if (report.IsBest) best = report;
        scoring = default;
        Draw(now: true);
    }

    public override void OnSave(string folder) => Above($"saved {folder}");

    public override void OnMessage(string message) => Above($"note: {message}");

    // A line above the view is written over the view's first line, whose rest would stay.
    private void Above(string text) => terminal.Ansi.WriteLine(text.PadRight(terminal.Ansi.Profile.Width - 1));

    private void Draw(bool now)
    {
        if (live is null || plan is null || (!now && clock.Elapsed - drawn < Frame)) return;
        drawn = clock.Elapsed;
        live.UpdateTarget(Picture());
        live.Refresh();
    }

    private Rows Picture()
    {
        var lines = new List<IRenderable> { Bar() };
        if (double.IsFinite(step.Loss))
            lines.Add(Line("loss",
                $"[bold]{Figures.Loss(Recent())}[/]  [green]{Sparkline.Of(losses, SparkWidth, Unicode)}[/]"));
        else if (losses.Count > 0)
            lines.Add(Line("loss", "[bold red]not a number[/]"));
        lines.Add(Line("rate", $"{Figures.Rate(step.LearningRate)}   grad norm {Figures.Short(step.GradNorm)}"));
        lines.Add(Line("speed",
            $"{Figures.Count(step.TokensPerSecond)} tokens/s   elapsed {Figures.Time(clock.Elapsed)}   "
            + $"left {Figures.Time(step.Remaining)}"));
        if (scoring.Total > 0)
            lines.Add(Line("eval", $"scoring {scoring.Done} of {scoring.Total} ..."));
        else if (eval is { } e)
            lines.Add(Line("eval",
                $"[bold]{Figures.Loss(e.Loss)}[/] at step {e.Step}"
                + (e.Metrics is null ? $", perplexity {Figures.Short(e.Perplexity)}" : Figures.Metrics(e.Metrics))
                + (e.IsBest || best is null ? " (best)"
                : $"   best {Figures.Loss(best.Value.Loss)} at step {best.Value.Step}")));
        lines.Add(new Markup("[grey]Ctrl-C saves and stops[/]"));
        return new Rows(lines);
    }

    private Markup Bar()
    {
        var total = Math.Max(1, plan!.TotalSteps);
        var share = Math.Clamp((double)step.Step / total, 0, 1);
        var width = Math.Clamp(terminal.Width - 46, 10, 50);
        var full = (int)Math.Round(share * width);
        var (on, off) = Unicode ? ('━', '━') : ('#', '-');
        return Line("step", $"[blue]{new string(on, full)}[/][grey]{new string(off, width - full)}[/] "
            + $"{(100 * share).ToString("0", CultureInfo.InvariantCulture),3} %  {step.Step}/{plan.TotalSteps}  "
            + $"epoch {Figures.Short(step.Epoch)}");
    }

    private double Recent() => losses.TakeLast(10).Average();

    private bool Unicode => terminal.Ansi.Profile.Capabilities.Unicode;

    private int SparkWidth => Math.Clamp(terminal.Width - 30, 10, 50);

    private static Markup Line(string name, string markup) => new($"[grey]{name,-6}[/] {markup}");
}
