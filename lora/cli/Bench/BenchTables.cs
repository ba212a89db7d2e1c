using System.Globalization;
using System.Text;

namespace CudaLora.Cli;

/// <summary>A report as tables, for a terminal and in Markdown.</summary>
internal static class BenchTables
{
    private const string Notes = """
        Times are medians of a call; the noise is half the distance of the quartiles, or of the rounds' medians if
        that is more. GB/s counts what a call must read and write at least, once; what fits the caches can therefore
        be above 100 % of the ceiling. Of ceiling: the share of its time that the measured multiply-adds or the
        measured copy bandwidth alone would have taken, whichever is longer.
        """;

    public static void Print(Terminal terminal, BenchReport report, IReadOnlyList<BenchChange>? changes)
    {
        terminal.Line();
        foreach (var ceiling in report.Ceilings) terminal.Line(Text(ceiling));
        Rows(report).Write(terminal, "text");
        if (changes is not null) Changes(changes).Write(terminal, "text");
    }

    public static string Markdown(BenchReport report, IReadOnlyList<BenchChange>? changes, string picture)
    {
        using var text = new StringWriter { NewLine = "\n" };
        var page = new Terminal(text, text);
        page.Line("# cudalora bench\n");
        foreach (var (name, value) in report.Facts) page.Line($"- {name}: {value}");
        page.Line($"\n{Notes}\n");
        foreach (var ceiling in report.Ceilings) page.Line($"- {Text(ceiling)}");
        page.Line();
        Rows(report).Write(page, "markdown");
        page.Line($"\n![roofline]({picture})");
        if (changes is not null)
        {
            page.Line("\n## Against the former report\n");
            Changes(changes).Write(page, "markdown");
        }
        return text.ToString();
    }

    /// <summary>412 us, 13.8 ms.</summary>
    public static string Time(double seconds) => seconds switch
    {
        < 1e-7 => $"{Digits(seconds * 1e9)} ns",
        < 1e-3 => $"{Digits(seconds * 1e6)} us",
        < 1 => $"{Digits(seconds * 1e3)} ms",
        _ => $"{Digits(seconds)} s",
    };

    private static string Text(BenchCeiling ceiling) =>
        $"ceilings of {ceiling.Device}: {Rate(ceiling.Flops)} GFLOP/s, {Rate(ceiling.Bytes)} GB/s read and written";

    private static KernelsTable Rows(BenchReport report)
    {
        var table = new KernelsTable(
            "device", "measurement", "median", "noise", "GB/s", "GFLOP/s", "tokens/s", "of ceiling");
        foreach (var row in report.Rows)
            table.Add(
                row.Device, row.Title, Time(row.Seconds), Figures.Percent(row.Noise), Rate(row.Bytes / row.Seconds),
                Rate(row.Flops / row.Seconds), row.Tokens > 0 ? Figures.Count(row.Tokens / row.Seconds) : "-",
                Figures.Percent(row.Share(report.CeilingOf(row))));
        return table;
    }

    private static KernelsTable Changes(IReadOnlyList<BenchChange> changes)
    {
        var table = new KernelsTable("device", "measurement", "before", "now", "change", "noise of both", "");
        foreach (var change in changes)
            table.Add(
                change.Now.Device, change.Now.Title, Time(change.Before.Seconds), Time(change.Now.Seconds),
                (100 * change.Slower).ToString("+0.0;-0.0;0.0", CultureInfo.InvariantCulture) + " %",
                Figures.Percent(change.Noise),
                change.IsRegression ? "SLOWER" : change.IsGain ? "faster" : "same");
        return table;
    }

    private static string Rate(double perSecond) => perSecond > 0 ? Digits(perSecond / 1e9) : "-";

    private static string Digits(double value) => value.ToString(
        value switch { < 1 => "0.000", < 10 => "0.00", < 100 => "0.0", _ => "#,0" }, CultureInfo.InvariantCulture);
}
