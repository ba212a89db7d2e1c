using System.Text;
using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Cli;

/// <summary>A table of a report.</summary>
internal sealed record LabTable(string Title, string[] Columns, IReadOnlyList<string[]> Rows);

/// <summary>A picture in both forms.</summary>
internal sealed record LabPicture(string Name, string Caption, byte[] Png, string Svg);

/// <summary>What an experiment found.</summary>
/// <param name="Name">The experiment's.</param>
/// <param name="Title">As a heading.</param>
/// <param name="Numbers">All that was measured.</param>
/// <param name="Tables">The part of it that people read.</param>
/// <param name="Pictures">The same to look at.</param>
/// <param name="Sentences">What it means, made from the numbers.</param>
internal sealed record LabReport(
    string Name, string Title, JsonObject Numbers, IReadOnlyList<LabTable> Tables, IReadOnlyList<LabPicture> Pictures,
    IReadOnlyList<string> Sentences)
{
    /// <summary>Writes NAME.json and the pictures.</summary>
    public void Write(string folder, string command)
    {
        var json = new JsonObject
        {
            ["experiment"] = Name,
            ["command"] = command,
            ["explanation"] = new JsonArray([.. Sentences.Select(text => JsonValue.Create(text))]),
            ["numbers"] = Numbers.DeepClone(),
        };
        AtomicFile.WriteText(
            Path.Combine(folder, Name + ".json"), LabNumbers.Compact(ReportJson.Text(json)) + "\n");
        foreach (var picture in Pictures)
        {
            AtomicFile.Write(
                Path.Combine(folder, picture.Name + ".png"), stream => stream.Write(picture.Png));
            AtomicFile.WriteText(Path.Combine(folder, picture.Name + ".svg"), picture.Svg);
        }
    }

    /// <summary>Tables and sentences on the terminal.</summary>
    public void Print(Terminal terminal)
    {
        terminal.Line();
        terminal.Line(Title);
        foreach (var table in Tables)
        {
            terminal.Line();
            terminal.Line(table.Title);
            int[] widths = [.. table.Columns.Select((column, i) =>
                table.Rows.Select(row => row[i].Length).Append(column.Length).Max())];
            foreach (var row in table.Rows.Prepend(table.Columns)) terminal.Line(Line(row, widths));
        }
        terminal.Line();
        foreach (var sentence in Sentences) terminal.Line(sentence);
    }

    // The first column is text, the others are numbers.
    private static string Line(string[] cells, int[] widths)
    {
        var line = new StringBuilder(cells[0].PadRight(widths[0]));
        for (var i = 1; i < cells.Length; i++) line.Append("  ").Append(cells[i].PadLeft(widths[i]));
        return line.ToString();
    }
}
