using CudaLora.Engine;
using ScottPlot;

namespace CudaLora.Cli;

/// <summary>Curves over steps as NAME.png and NAME.svg.</summary>
internal static class CurveChart
{
    private const int Width = 960;
    private const int Height = 540;

    private static readonly string[] Colours = ["#1f6fb4", "#d9541e", "#2c8a4b", "#8a4fa3"];

    /// <summary>Writes both files; without points it writes none and returns false.</summary>
    /// <param name="folder">Where to.</param>
    /// <param name="name">Name of the files without ending.</param>
    /// <param name="title">Above the picture.</param>
    /// <param name="measure">At the vertical axis.</param>
    /// <param name="curves">A name for the legend and the points of each curve.</param>
    public static bool Write(
        string folder, string name, string title, string measure,
        params (string Name, IReadOnlyList<LossPoint> Points)[] curves)
    {
        var shown = curves
            .Select(curve => (curve.Name, Points: curve.Points.Where(p => double.IsFinite(p.Loss)).ToArray()))
            .Where(curve => curve.Points.Length > 0).ToArray();
        if (shown.Length == 0) return false;
        ChartFont.Register();
        using var plot = new Plot();
        plot.Title(title, size: 18);
        plot.XLabel("step", size: 15);
        plot.YLabel(measure, size: 15);
        plot.Grid.MajorLineColor = Color.FromHex("#e4e4e4");
        for (var i = 0; i < shown.Length; i++)
        {
            var line = plot.Add.Scatter(
                shown[i].Points.Select(p => (double)p.Step).ToArray(), shown[i].Points.Select(p => p.Loss).ToArray(),
                Color.FromHex(Colours[i % Colours.Length]));
            line.LineWidth = 2;
            line.MarkerSize = shown[i].Points.Length > 40 ? 0 : 5;
            line.LegendText = shown[i].Name;
        }
        if (shown.Length > 1) plot.ShowLegend(Alignment.LowerRight);
        plot.Font.Set(ChartFont.Name);
        AtomicFile.Write(
            Path.Combine(folder, name + ".png"),
            stream => stream.Write(plot.GetImageBytes(Width, Height, ImageFormat.Png)));
        AtomicFile.WriteText(
            Path.Combine(folder, name + ".svg"),
            plot.GetSvgXml(Width, Height).Replace(
                $"\"{ChartFont.Name}\"", "\"DejaVu Sans, Verdana, sans-serif\"", StringComparison.Ordinal));
        return true;
    }
}
