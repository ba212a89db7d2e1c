using CudaLora.Engine;
using ScottPlot;

namespace CudaLora.Cli;

/// <summary>Held-out loss over trained parameters and over training time, a point per method.</summary>
internal static class CompareChart
{
    private const int Width = 960;
    private const int Height = 600;

    public static void Write(string folder, IReadOnlyList<CompareRow> rows, int steps)
    {
        CompareRow[] done = [.. rows.Where(row => row.Error is null)];
        if (done.Length == 0) return;
        Save(
            folder, "compare_parameters.png", "held-out loss over trained parameters",
            "trained parameters, powers of ten", [.. done.Select(row => (row, Math.Log10(row.Trained)))]);
        Save(folder, "compare_time.png", $"held-out loss over the time of {steps} steps", "seconds",
            [.. done.Select(row => (row, steps * row.SecondsPerStep))]);
    }

    private static void Save(
        string folder, string name, string title, string axis, (CompareRow Row, double X)[] points)
    {
        using var plot = new Plot();
        plot.Title(title, size: 18);
        plot.XLabel(axis, size: 15);
        plot.YLabel("held-out loss", size: 15);
        plot.Grid.MajorLineColor = Color.FromHex("#e4e4e4");
        foreach (var (row, x) in points)
        {
            var (mean, spread) = row.Loss;
            var bar = plot.Add.ErrorBar([x], [mean], [spread]);
            bar.Color = Color.FromHex("#9ec5e8");
            plot.Add.Marker(x, mean, size: 10, color: Color.FromHex("#1f6fb4"));
            var label = plot.Add.Text(row.Method, x, mean);
            label.LabelFontSize = 13;
            label.OffsetX = 8;
            label.OffsetY = -16;
        }
        ChartFont.Register();
        plot.Font.Set(ChartFont.Name);
        // Room for the names at the right.
        plot.Axes.Margins(0.15, 0.15);
        AtomicFile.Write(
            Path.Combine(folder, name), stream => stream.Write(plot.GetImageBytes(Width, Height, ImageFormat.Png)));
    }
}
