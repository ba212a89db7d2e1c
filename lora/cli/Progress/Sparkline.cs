namespace CudaLora.Cli;

/// <summary>A row of bars as tall as the values.</summary>
internal static class Sparkline
{
    private const string Blocks = "▁▂▃▄▅▆▇█";
    private const string Plain = "_.-=+*#@";

    /// <summary>The values as one bar per column; means where there are more values than columns.</summary>
    public static string Of(IReadOnlyList<double> values, int width, bool unicode)
    {
        var columns = Math.Min(width, values.Count);
        if (columns == 0) return "";
        var means = new double[columns];
        for (var c = 0; c < columns; c++)
        {
            var (from, to) = ((int)((long)c * values.Count / columns), (int)((c + 1L) * values.Count / columns));
            for (var i = from; i < to; i++) means[c] += values[i] / (to - from);
        }
        var finite = means.Where(double.IsFinite).DefaultIfEmpty(0).ToArray();
        var (low, high) = (finite.Min(), finite.Max());
        var bars = unicode ? Blocks : Plain;
        return string.Concat(means.Select(m => !double.IsFinite(m) ? '?'
            : bars[high > low ? (int)Math.Round((m - low) / (high - low) * (bars.Length - 1)) : 0]));
    }
}
