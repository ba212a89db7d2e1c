using System.Text;

namespace CudaLora.Cli;

/// <summary>The comparison as a table, for a terminal and in Markdown.</summary>
internal static class CompareTable
{
    private static readonly string[] Heads =
        ["method", "trained", "share", "memory", "ms/step", "steps to target", "held-out loss", "exact match", "file"];

    public static void Print(Terminal terminal, IReadOnlyList<CompareRow> rows, double target)
    {
        var cells = rows.Select(row => Cells(row, target)).Prepend(Heads).ToArray();
        var widths = Heads.Select((_, i) => cells.Where(c => c.Length == Heads.Length).Max(c => c[i].Length)).ToArray();
        foreach (var line in cells)
            terminal.Line(string.Join("  ", line.Select((text, i) =>
                i == 0 || line.Length < Heads.Length ? text.PadRight(widths[i]) : text.PadLeft(widths[i]))).TrimEnd());
    }

    public static string Markdown(IReadOnlyList<CompareRow> rows, double target, string command)
    {
        var text = new StringBuilder();
        text.Append($"`{command}`\n\nTarget: a held-out loss of {Figures.Loss(target)}. ");
        text.Append("Loss and exact match: mean and deviation over the seeds.\n\n");
        text.Append($"| {string.Join(" | ", Heads)} |\n|---|{string.Concat(Heads.Skip(1).Select(_ => "---:|"))}\n");
        foreach (var row in rows)
        {
            var cells = Cells(row, target);
            var empty = Enumerable.Repeat("", Heads.Length - cells.Length);
            text.Append($"| {string.Join(" | ", cells.Concat(empty))} |\n");
        }
        return text.Append("\n![loss over trained parameters](compare_parameters.png)\n\n"
            + "![loss over time](compare_time.png)\n").ToString();
    }

    private static string[] Cells(CompareRow row, double target)
    {
        if (row.Error is not null) return [row.Method, $"failed: {row.Error}"];
        var (loss, match) = (row.Loss, row.ExactMatch);
        return
        [
            row.Method, Figures.Count(row.Trained), $"{Figures.Short(100 * row.Share)} %",
            Figures.Bytes(row.PeakMemory), Figures.Short(1000 * row.SecondsPerStep),
            row.StepsTo(target) is double steps ? Figures.Count(steps) : "-",
            $"{Figures.Loss(loss.Mean)} ± {Figures.Loss(loss.Spread)}",
            match is { } share ? $"{Figures.Percent(share.Mean)} ± {Figures.Short(100 * share.Spread)}" : "-",
            Figures.Bytes(row.FileBytes),
        ];
    }
}
