using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Spectre.Console;

namespace CudaLora.Cli;

/// <summary>Rows of text that print as a table, as Markdown or as JSON.</summary>
internal sealed class KernelsTable(params string[] columns)
{
    // '+' and '<' read better as themselves than as escapes.
    private static readonly JsonSerializerOptions Json = new()
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    private readonly List<string[]> rows = [];

    public void Add(params string[] cells) => rows.Add(cells);

    public void Write(Terminal terminal, string format)
    {
        switch (format)
        {
            case "text":
                var table = new Table().Border(TableBorder.Simple);
                foreach (string column in columns) table.AddColumn(new TableColumn(Markup.Escape(column)).NoWrap());
                foreach (string[] row in rows) table.AddRow([.. row.Select(cell => new Text(cell))]);
                WriteWide(terminal, table);
                break;
            case "markdown":
                terminal.Line($"| {string.Join(" | ", columns)} |");
                terminal.Line($"|{string.Concat(columns.Select(_ => "---|"))}");
                foreach (string[] row in rows) terminal.Line($"| {string.Join(" | ", row.Select(Escape))} |");
                break;
            case "json":
                terminal.Line(new JsonArray([.. rows.Select(Record)]).ToJsonString(Json));
                break;
            default:
                throw new UsageException($"--format must be text, markdown or json, but got '{format}'");
        }
    }

    private JsonObject Record(string[] row) =>
        new(columns.Zip(row, (column, cell) => KeyValuePair.Create(Key(column), Value(cell))));

    // For scripts: vs least becomes vs_least, and cells that people read as numbers become numbers.
    private static string Key(string column) =>
        column.TrimEnd('.').Replace(' ', '_').Replace('/', '_').ToLowerInvariant();

    private static JsonNode? Value(string cell)
    {
        if (cell == "-") return null;
        string digits = cell.Replace(",", "", StringComparison.Ordinal);
        if (long.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long whole))
            return whole;
        bool isShare = digits.EndsWith(" %", StringComparison.Ordinal);
        digits = isShare ? digits[..^2] : digits.EndsWith('x') ? digits[..^1] : digits;
        return double.TryParse(digits, NumberStyles.Float, CultureInfo.InvariantCulture, out double number)
            ? isShare ? number / 100 : number
            : cell;
    }

    private static string Escape(string cell) => cell.Replace("|", "\\|", StringComparison.Ordinal);

    // A redirected table keeps its full width: wrapped cells could not be searched.
    private static void WriteWide(Terminal terminal, Table table)
    {
        int width = terminal.Ansi.Profile.Width;
        if (!terminal.IsLive) terminal.Ansi.Profile.Width = 240;
        terminal.Ansi.Write(table);
        terminal.Ansi.Profile.Width = width;
    }
}
