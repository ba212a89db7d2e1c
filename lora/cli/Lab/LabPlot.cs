using System.Globalization;
using ScottPlot;
using ScottPlot.TickGenerators;

namespace CudaLora.Cli;

/// <summary>A curve: its name and its points.</summary>
internal sealed record LabCurve(string Name, IReadOnlyList<double> X, IReadOnlyList<double> Y)
{
    /// <summary>A value at 0, 1, 2, ...</summary>
    public static LabCurve OfSteps(string name, IReadOnlyList<double> values) =>
        new(name, [.. Enumerable.Range(0, values.Count).Select(i => (double)i)], values);
}

/// <summary>The pictures of experiments.</summary>
internal static class LabPlot
{
    private const int Width = 880;
    private const int Height = 480;

    private static readonly string[] Colours =
        ["#1f6fb4", "#d9541e", "#2c8a4b", "#8a4fa3", "#b58900", "#c2185b", "#00838f", "#555555"];

    /// <summary>Curves; a logarithmic axis leaves out what is not above zero.</summary>
    public static LabPicture Lines(
        string name, string title, string x, string y, IReadOnlyList<LabCurve> curves, bool logX = false,
        bool logY = false)
    {
        using var plot = Begin(title, x, y);
        for (var i = 0; i < curves.Count; i++)
        {
            (double X, double Y)[] points = [.. curves[i].X.Zip(curves[i].Y)
                .Where(p => double.IsFinite(p.Second) && (!logX || p.First > 0) && (!logY || p.Second > 0))
                .Select(p => (logX ? Math.Log10(p.First) : p.First, logY ? Math.Log10(p.Second) : p.Second))];
            if (points.Length == 0) continue;
            var line = plot.Add.Scatter(
                points.Select(p => p.X).ToArray(), points.Select(p => p.Y).ToArray(),
                Color.FromHex(Colours[i % Colours.Length]));
            line.LineWidth = 2;
            line.MarkerSize = points.Length > 40 ? 0 : 6;
            line.LegendText = curves[i].Name;
        }
        if (logX)
        {
            // Few values, each worth its name.
            double[] at = [.. curves.SelectMany(curve => curve.X).Where(v => v > 0).Distinct().Order()];
            plot.Axes.Bottom.SetTicks(
                [.. at.Select(Math.Log10)], [.. at.Select(v => v.ToString("0.##", CultureInfo.InvariantCulture))]);
        }
        // Little room beside the first and the last point, or steps seem to begin at -1.
        plot.Axes.Margins(horizontal: 0.03);
        if (logY)
        {
            plot.Axes.AutoScale();
            plot.Axes.Left.MinimumSize = 70; // numbers that are set by hand are not measured
            var range = plot.Axes.GetLimits().VerticalRange;
            LogTicks.Set(plot.Axes.Left, range.Min, range.Max, value => value.ToString(
                value < 1e-3 ? "0e-0" : "#,0.###", CultureInfo.InvariantCulture));
        }
        if (curves.Count > 1) plot.ShowLegend(Edge.Right);
        return End(plot, name, title);
    }

    /// <summary>A bar per value, in groups that share a label.</summary>
    public static LabPicture Bars(
        string name, string title, string y, IReadOnlyList<string> labels, IReadOnlyList<LabCurve> series)
    {
        using var plot = Begin(title, "", y);
        var width = 0.8 / series.Count;
        for (var s = 0; s < series.Count; s++)
        {
            var colour = Color.FromHex(Colours[s % Colours.Length]);
            Bar[] bars = [.. series[s].Y.Select((value, i) => new Bar
            {
                Position = i + ((s - ((series.Count - 1) / 2.0)) * width),
                Value = value,
                Size = width * 0.92,
                FillColor = colour,
                LineWidth = 0,
            })];
            plot.Add.Bars(bars).LegendText = series.Count > 1 ? series[s].Name : "";
        }
        plot.Axes.Bottom.SetTicks([.. labels.Select((_, i) => (double)i)], [.. labels]);
        plot.Axes.Margins(bottom: 0);
        if (series.Count > 1) plot.ShowLegend(Edge.Right);
        return End(plot, name, title);
    }

    /// <summary>A matrix of values from 0 to 1, row 0 at the top.</summary>
    public static LabPicture HeatMap(string name, string title, string x, string y, double[,] values)
    {
        using var plot = Begin(title, x, y);
        var (rows, columns) = (values.GetLength(0), values.GetLength(1));
        var map = plot.Add.Heatmap(values);
        map.Colormap = new ScottPlot.Colormaps.Viridis();
        map.ManualRange = new ScottPlot.Range(0, 1);
        // Rows and columns count directions, from 1.
        map.Position = new CoordinateRect(0.5, columns + 0.5, 0.5, rows + 0.5);
        plot.Axes.SetLimits(0.5, columns + 0.5, rows + 0.5, 0.5);
        plot.Axes.Left.TickGenerator = new NumericAutomatic { IntegerTicksOnly = true };
        plot.Axes.Bottom.TickGenerator = new NumericAutomatic { IntegerTicksOnly = true };
        plot.Add.ColorBar(map);
        return End(plot, name, title);
    }

    private static Plot Begin(string title, string x, string y)
    {
        ChartFont.Register();
        var plot = new Plot();
        plot.Title(title, size: 17);
        plot.XLabel(x, size: 14);
        plot.YLabel(y, size: 14);
        plot.Grid.MajorLineColor = Color.FromHex("#e4e4e4");
        return plot;
    }

    private static LabPicture End(Plot plot, string name, string title)
    {
        plot.Font.Set(ChartFont.Name);
        plot.Legend.FontSize = 12;
        var svg = plot.GetSvgXml(Width, Height).Replace(
            $"\"{ChartFont.Name}\"", "\"DejaVu Sans, Verdana, sans-serif\"", StringComparison.Ordinal)
            // The cells of a heat map, not a blend of neighbours.
            .Replace("<image ", "<image image-rendering=\"pixelated\" ", StringComparison.Ordinal);
        return new LabPicture(name, title, plot.GetImageBytes(Width, Height, ImageFormat.Png), svg);
    }
}
