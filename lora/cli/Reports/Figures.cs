using System.Globalization;

namespace CudaLora.Cli;

/// <summary>Numbers as people read them, the same in every locale.</summary>
internal static class Figures
{
    public static string Loss(double value) => value.ToString("0.0000", CultureInfo.InvariantCulture);

    /// <summary>A learning rate: 2.00e-4.</summary>
    public static string Rate(double value) => value == 0
        ? "0"
        : value.ToString("0.00e-0", CultureInfo.InvariantCulture);

    public static string Short(double value) => value.ToString("0.00", CultureInfo.InvariantCulture);

    /// <summary>12,345.</summary>
    public static string Count(double value) => value.ToString("#,0", CultureInfo.InvariantCulture);

    /// <summary>0.9 as 90.0 %.</summary>
    public static string Percent(double share) => (100 * share).ToString("0.0", CultureInfo.InvariantCulture) + " %";

    /// <summary>h:mm:ss.</summary>
    public static string Time(TimeSpan time) => string.Create(
        CultureInfo.InvariantCulture,
        $"{(long)Math.Max(0, time.TotalHours)}:{Math.Abs(time.Minutes):00}:{Math.Abs(time.Seconds):00}");

    public static string Bytes(long bytes) => bytes switch
    {
        < 10 << 10 => $"{Count(bytes)} B",
        < 10 << 20 => $"{Count(bytes / 1024.0)} KiB",
        < 10L << 30 => $"{Count(bytes / (1024.0 * 1024))} MiB",
        _ => $"{Short(bytes / (1024.0 * 1024 * 1024))} GiB",
    };

    /// <summary>The first few measured values with their names: "  accuracies 0.83  margins 1.20".</summary>
    public static string Metrics(IReadOnlyDictionary<string, double>? metrics) => string.Concat(
        (metrics ?? new Dictionary<string, double>()).Take(2)
            .Select(metric => $"  {metric.Key[(metric.Key.LastIndexOf('/') + 1)..]} {Short(metric.Value)}"));

    /// <summary>A text on one line, cut to a length.</summary>
    public static string OneLine(string text, int length)
    {
        var line = string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        return line.Length <= length ? line : line[..(length - 3)] + "...";
    }
}
