using System.Text.Json.Nodes;
using CudaLora.Cli;
using CudaLora.Lora;

namespace CudaLora.Tests;

public sealed class ProgressTests
{
    private static readonly TrainingPlan Plan = new("lora", 20, 0, 100, 10, 1000, 100_000, "cpu");

    [Fact]
    public void PlainProgressIsOneLinePerEventWithMeansOfTheSteps()
    {
        using var output = new StringWriter();
        var terminal = new Terminal(output, output);
        var view = ProgressView.For(terminal, plain: false, loggingSteps: 10);
        view.Show(() => Play(view, Plan));
        var lines = output.ToString().ReplaceLineEndings("\n").TrimEnd().Split('\n');
        Assert.Equal("lora: 1,000 of 100,000 parameters are trained (1.00 %)", lines[0]);
        Assert.Equal("20 steps on 100 examples, 10 held out", lines[1]);
        // Losses are 1/step; the mean of steps 1 to 10 is 0.29290, of 11 to 20 it is 0.06688.
        Assert.Equal("step 10/20  epoch 0.50  loss 0.2929  lr 1.00e-4  grad 0.25  1,234 tokens/s  left 0:00:10",
            lines[2]);
        Assert.StartsWith("eval 10/20  loss 0.5000  perplexity 1.65  10 examples in 1.50 s  best so far", lines[3],
            StringComparison.Ordinal);
        Assert.Contains("loss 0.0669", lines[4], StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', output.ToString());
    }

    [Fact]
    public void TheLogHasOneObjectPerRow()
    {
        using var folder = new TemporaryFolder();
        using (var log = new TrainingLog(folder.Path, 10, new LossHistory())) Play(log, Plan);
        var rows = File.ReadAllLines(folder.File(TrainingLog.FileName)).Select(l => JsonNode.Parse(l)!).ToArray();
        Assert.Equal(3, rows.Length);
        Assert.Equal(10, (int)rows[0]["current_steps"]!);
        Assert.Equal(20, (int)rows[0]["total_steps"]!);
        Assert.Equal(0.29290, (double)rows[0]["loss"]!, 5);
        Assert.Equal(50, (double)rows[0]["percentage"]!);
        Assert.Equal(640, (long)rows[0]["total_tokens"]!);
        foreach (var name in new[] { "lr", "epoch", "elapsed_time", "remaining_time", "throughput", "grad_norm" })
            Assert.NotNull(rows[0][name]);
        Assert.Equal(0.5, (double)rows[1]["eval_loss"]!);
        Assert.Null(rows[1]["loss"]);
    }

    [Fact]
    public void AResumedRunKeepsTheRowsBeforeIt()
    {
        using var folder = new TemporaryFolder();
        using (var log = new TrainingLog(folder.Path, 10, new LossHistory())) Play(log, Plan);
        File.AppendAllText(folder.File(TrainingLog.FileName), "{\"current_st");
        var history = new LossHistory();
        using (var log = new TrainingLog(folder.Path, 10, history)) log.OnStart(Plan with { FirstStep = 10 });
        Assert.Equal(2, File.ReadAllLines(folder.File(TrainingLog.FileName)).Length);
        Assert.Equal([10], history.Train.Select(p => p.Step));
        Assert.Equal([new LossPoint(10, 0.5)], history.Eval);
    }

    [Fact]
    public void LossesThatAreNoNumbersLeaveTheLogValid()
    {
        using var folder = new TemporaryFolder();
        using (var log = new TrainingLog(folder.Path, 1, new LossHistory()))
        {
            log.OnStart(Plan);
            log.OnStep(new StepReport(1, 0.1, double.NaN, 1e-4, double.PositiveInfinity, 1, TimeSpan.Zero));
        }
        Assert.Null(JsonNode.Parse(File.ReadAllText(folder.File(TrainingLog.FileName)))!["loss"]);
    }

    [Fact]
    public void TheChartIsAPictureAndAnSvg()
    {
        using var folder = new TemporaryFolder();
        var history = new LossHistory();
        Play(history, Plan);
        Assert.True(LossChart.Write(folder.Path, "title", history));
        var png = File.ReadAllBytes(folder.File(LossChart.PngName));
        Assert.Equal("PNG"u8.ToArray(), png[1..4]);
        Assert.True(png.Length > 5000, $"{png.Length} bytes");
        // The labels are drawn with the embedded font, so they are there on a machine without fonts too.
        var svg = File.ReadAllText(folder.File(LossChart.SvgName));
        Assert.Contains("Verdana, sans-serif", svg, StringComparison.Ordinal);
        Assert.Contains("<svg", svg, StringComparison.Ordinal);
    }

    [Fact]
    public void WithoutALossThereIsNoChart()
    {
        using var folder = new TemporaryFolder();
        Assert.False(LossChart.Write(folder.Path, "title", new LossHistory()));
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void SmoothingKeepsAConstantAndFollowsAFall()
    {
        Assert.All(LossChart.Smooth([.. Enumerable.Range(1, 200).Select(i => new LossPoint(i, 2.5))]),
            v => Assert.Equal(2.5, v, 12));
        var falling = LossChart.Smooth([.. Enumerable.Range(1, 200).Select(i => new LossPoint(i, 1.0 / i))]);
        Assert.True(falling[^1] < 0.02 && falling[0] == 1);
    }

    [Fact]
    public void ASparklineHasOneBarPerColumn()
    {
        Assert.Equal("▁▃▆█", Sparkline.Of([0, 1, 2, 3], 10, unicode: true));
        Assert.Equal("_@", Sparkline.Of([0, 0, 5, 5], 2, unicode: false));
        Assert.Equal("▁▁", Sparkline.Of([4, 4], 10, unicode: true));
        Assert.Equal("", Sparkline.Of([], 10, unicode: true));
    }

    private static void Play(ITrainerObserver observer, TrainingPlan plan)
    {
        observer.OnStart(plan);
        for (var step = 1; step <= plan.TotalSteps; step++)
        {
            observer.OnStep(new StepReport(
                step, step / 20.0, 1.0 / step, 1e-4, 0.25, 1234, TimeSpan.FromSeconds(20 - step), 64L * step));
            if (step == 10) observer.OnEvaluate(new EvalReport(step, 0.5, 1.5, 10, true));
        }
    }
}
