using CudaLora.Engine;
using ScottPlot;

namespace CudaLora.Cli;

/// <summary>The loss curve as training_loss.png and training_loss.svg.</summary>
internal static class LossChart
{
    public const string PngName = "training_loss.png";
    public const string SvgName = "training_loss.svg";

    private const int Width = 960;
    private const int Height = 540;

    /// <summary>Writes both files; with no loss to show it writes none and returns false.</summary>
    public static bool Write(
        string folder, string title, LossHistory history, string lossName = "loss per token")
    {
        var train = history.Train.Where(p => double.IsFinite(p.Loss)).ToArray();
        var eval = history.Eval.Where(p => double.IsFinite(p.Loss)).ToArray();
        if (train.Length + eval.Length == 0) return false;
        using var plot = Draw(title, train, eval, lossName);
        AtomicFile.Write(
            Path.Combine(folder, PngName),
            stream => stream.Write(plot.GetImageBytes(Width, Height, ImageFormat.Png)));
        // Whoever opens the SVG does not have the font by its name.
        var svg = plot.GetSvgXml(Width, Height).Replace(
            $"\"{ChartFont.Name}\"", "\"DejaVu Sans, Verdana, sans-serif\"", StringComparison.Ordinal);
        AtomicFile.WriteText(Path.Combine(folder, SvgName), svg);
        return true;
    }

    /// <summary>Exponential mean, corrected for its start; wider for longer runs.</summary>
    public static double[] Smooth(IReadOnlyList<LossPoint> points)
    {
        var keep = 1 - (1 / Math.Clamp(points.Count / 25.0, 1, 50));
        var smooth = new double[points.Count];
        double sum = 0, weight = 0;
        for (var i = 0; i < points.Count; i++)
        {
            sum = (keep * sum) + ((1 - keep) * points[i].Loss);
            weight = (keep * weight) + (1 - keep);
            smooth[i] = sum / weight;
        }
        return smooth;
    }

    private static Plot Draw(string title, LossPoint[] train, LossPoint[] eval, string lossName)
    {
        var plot = new Plot();
        plot.Title(title, size: 18);
        plot.XLabel("optimiser step", size: 15);
        plot.YLabel(lossName, size: 15);
        plot.Axes.Bottom.TickLabelStyle.FontSize = 13;
        plot.Axes.Left.TickLabelStyle.FontSize = 13;
        plot.Grid.MajorLineColor = Color.FromHex("#e4e4e4");
        if (train.Length > 0)
        {
            var steps = train.Select(p => (double)p.Step).ToArray();
            var raw = plot.Add.ScatterLine(steps, train.Select(p => p.Loss).ToArray(),
                Color.FromHex("#9ec5e8"));
            raw.LineWidth = 1.2f;
            raw.LegendText = "train";
            var smooth = plot.Add.ScatterLine(steps, Smooth(train), Color.FromHex("#1f6fb4"));
            smooth.LineWidth = 2.6f;
            smooth.LegendText = "train, smoothed";
        }
        if (eval.Length > 0)
        {
            var held = plot.Add.Scatter(
                eval.Select(p => (double)p.Step).ToArray(), eval.Select(p => p.Loss).ToArray(),
                Color.FromHex("#d9541e"));
            held.LineWidth = 1.6f;
            held.MarkerSize = 9;
            held.LegendText = "held out";
        }
        plot.ShowLegend(Alignment.UpperRight);
        plot.Legend.FontSize = 13;
        ChartFont.Register();
        plot.Font.Set(ChartFont.Name);
        return plot;
    }
}
