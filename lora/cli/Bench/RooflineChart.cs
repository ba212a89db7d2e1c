using System.Globalization;
using CudaLora.Engine;
using ScottPlot;

namespace CudaLora.Cli;

/// <summary>
/// Every row as a point, operations per byte against operations per second, with the roof that the ceilings make.
/// What only moves data counts one operation per four bytes moved.
/// </summary>
internal static class RooflineChart
{
    private const int Width = 960;
    private const int Height = 600;
    private const double LeastIntensity = 0.125;

    private static readonly string[] Colors =
        ["#1f6fb4", "#d9541e", "#2a9d5c", "#8e44ad", "#b8860b", "#17a2b8", "#c2185b", "#555555"];

    /// <summary>Writes path + .png and path + .svg.</summary>
    public static void Write(string path, BenchReport report)
    {
        using var plot = Draw(report);
        AtomicFile.Write(
            path + ".png", stream => stream.Write(plot.GetImageBytes(Width, Height, ImageFormat.Png)));
        // Whoever opens the SVG does not have the font by its name.
        AtomicFile.WriteText(path + ".svg", plot.GetSvgXml(Width, Height).Replace(
            $"\"{ChartFont.Name}\"", "\"DejaVu Sans, Verdana, sans-serif\"", StringComparison.Ordinal));
    }

    /// <summary>Where a row is: operations per byte, operations per second.</summary>
    public static (double Intensity, double Rate) Place(BenchRow row)
    {
        var flops = row.Flops > 0 ? row.Flops : row.Bytes / sizeof(float);
        // Arithmetic between registers moves nothing.
        return (row.Bytes > 0 ? flops / row.Bytes : double.PositiveInfinity, flops / row.Seconds);
    }

    private static Plot Draw(BenchReport report)
    {
        var plot = new Plot();
        plot.Title("every measurement, and the measured ceilings", size: 18);
        plot.XLabel("operations per byte", size: 15);
        plot.YLabel("GFLOP/s", size: 15);
        plot.Grid.MajorLineColor = Color.FromHex("#e4e4e4");
        var most = report.Rows.Select(row => Place(row).Intensity).Where(double.IsFinite).DefaultIfEmpty(1).Max();
        foreach (var ceiling in report.Ceilings) Roof(plot, ceiling, 2 * most);
        var groups = report.Rows.GroupBy(row => row.Group).ToArray();
        for (var i = 0; i < groups.Length; i++)
        {
            var places = groups[i].Select(Place).ToArray();
            var points = plot.Add.ScatterPoints(
                places.Select(p => Math.Log10(Math.Min(p.Intensity, 2 * most))).ToArray(),
                places.Select(p => Math.Log10(p.Rate / 1e9)).ToArray(), Color.FromHex(Colors[i % Colors.Length]));
            points.MarkerSize = 9;
            points.LegendText = groups[i].Key;
        }
        plot.Axes.AutoScale();
        plot.Axes.Left.MinimumSize = 90; // numbers that are set by hand are not measured
        var limits = plot.Axes.GetLimits();
        LogTicks.Set(plot.Axes.Bottom, limits.Left, limits.Right, Number);
        LogTicks.Set(plot.Axes.Left, limits.Bottom, limits.Top, Number);
        plot.ShowLegend(Alignment.LowerRight);
        plot.Legend.FontSize = 13;
        ChartFont.Register();
        plot.Font.Set(ChartFont.Name);
        return plot;
    }

    private static void Roof(Plot plot, BenchCeiling ceiling, double most)
    {
        if (ceiling.Bytes <= 0) return;
        var corner = ceiling.Flops > 0 ? Math.Clamp(ceiling.Flops / ceiling.Bytes, LeastIntensity, most) : most;
        double[] at = [LeastIntensity, corner, most];
        var line = plot.Add.ScatterLine(
            at.Select(Math.Log10).ToArray(),
            at.Select(x => Math.Log10(Math.Min(
                x * ceiling.Bytes, ceiling.Flops > 0 ? ceiling.Flops : double.MaxValue) / 1e9)).ToArray(),
            Color.FromHex("#888888"));
        line.LineWidth = 2;
        line.LegendText = $"ceilings of {ceiling.Device}";
    }

    private static string Number(double value) => value.ToString("#,0.#####", CultureInfo.InvariantCulture);
}
