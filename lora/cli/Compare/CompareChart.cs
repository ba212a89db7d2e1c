using System.Globalization;
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
            folder, "compare_parameters.png", "held-out loss over trained parameters", "trained parameters",
            [.. done.Select(row => (row, Math.Log10(row.Trained)))], logarithmic: true);
        Save(
            folder, "compare_time.png", $"held-out loss over the time of {steps} steps", "seconds",
            [.. done.Select(row => (row, steps * row.SecondsPerStep))], logarithmic: false);
    }

    private static void Save(
        string folder, string name, string title, string axis, (CompareRow Row, double X)[] points, bool logarithmic)
    {
        using var plot = new Plot();
        ChartFont.Register();
        plot.Font.Set(ChartFont.Name);
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
        }
        var (left, right) = Range(points.Select(p => p.X));
        var (bottom, top) = Range(points.SelectMany(p => Ends(p.Row.Loss)));
        plot.Axes.SetLimits(left, right, bottom, top);
        if (logarithmic) LogTicks.Set(plot.Axes.Bottom, left, right, Count);
        // In pixels of the part between the axes.
        AddNames(plot, points, new LabelPlacement(
            (left, right, (Width - 70) / (right - left)), (bottom, top, (Height - 110) / (top - bottom))));
        AtomicFile.Write(
            Path.Combine(folder, name), stream => stream.Write(plot.GetImageBytes(Width, Height, ImageFormat.Png)));
    }

    private static string Count(double count) => count switch
    {
        >= 1e6 => (count / 1e6).ToString("0.#", CultureInfo.InvariantCulture) + " M",
        >= 1e3 => (count / 1e3).ToString("0.#", CultureInfo.InvariantCulture) + " k",
        _ => count.ToString("0", CultureInfo.InvariantCulture),
    };

    private static IEnumerable<double> Ends((double Mean, double Spread) loss) =>
        [loss.Mean - loss.Spread, loss.Mean + loss.Spread];

    /// <summary>From the least to the greatest, with room around.</summary>
    private static (double From, double To) Range(IEnumerable<double> values)
    {
        var (least, most) = (values.Min(), values.Max());
        var margin = most > least ? 0.1 * (most - least) : 0.5;
        return (least - margin, most + margin);
    }

    /// <summary>Each name beside its point, where no other name is; with a line to it where that is not near.</summary>
    private static void AddNames(Plot plot, (CompareRow Row, double X)[] points, LabelPlacement placement)
    {
        foreach (var (row, x) in points)
            foreach (var y in Ends(row.Loss).Append(row.Loss.Mean)) placement.Mark(x, y);
        foreach (var (row, x) in points.OrderBy(p => p.X))
        {
            var mean = row.Loss.Mean;
            var place = placement.Place(x, mean, row.Method);
            if (place.Far)
            {
                var line = plot.Add.Line(x, mean, place.LineX, place.LineY);
                line.Color = Color.FromHex("#9a9a9a");
                line.LineWidth = 0.7f;
            }
            var label = plot.Add.Text(row.Method, place.X, place.Y);
            label.LabelFontSize = LabelPlacement.FontSize;
            label.LabelAlignment = Alignment.MiddleLeft;
        }
    }
}
