using System.Net;
using System.Text;

namespace CudaLora.Cli;

/// <summary>Reports as one page that needs no other file.</summary>
internal static class LabHtml
{
    private const string Style = """
        body { font: 16px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em; color: #222; }
        h2 { margin-top: 3em; border-bottom: 1px solid #ddd; }
        table { border-collapse: collapse; font-size: 13px; margin: 1em 0; display: block; overflow-x: auto; }
        caption { text-align: left; font-weight: 600; padding: .3em 0; }
        th, td { padding: .2em .7em; text-align: right; border-bottom: 1px solid #eee; vertical-align: top; }
        th:first-child, td:first-child { text-align: left; }
        img { max-width: 100%; height: auto; }
        code { background: #f4f4f4; padding: .1em .3em; }
        .reading { color: #555; }
        .failed { color: #a00; }
        """;

    public static string Page(
        string command, string about, IReadOnlyList<(LabExperiment Experiment, LabReport? Report, string? Error)> parts)
    {
        var html = new StringBuilder();
        html.Append("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
            .Append("<meta name=\"viewport\" content=\"width=device-width\">\n")
            .Append("<title>How LoRA works, measured</title>\n")
            .Append("<style>\n").Append(Style).Append("\n</style>\n</head>\n<body>\n")
            .Append("<h1>How LoRA works, measured</h1>\n<p>Every number and sentence below comes from <code>")
            .Append(Text(command)).Append("</code>. ").Append(Text(about)).Append("</p>\n<ul>\n");
        foreach (var (experiment, _, _) in parts)
            html.Append($"<li><a href=\"#{experiment.Name}\">{Text(experiment.Summary)}</a></li>\n");
        html.Append("</ul>\n");
        foreach (var (experiment, report, error) in parts)
        {
            html.Append($"<section id=\"{experiment.Name}\">\n<h2>{Text(report?.Title ?? experiment.Summary)}</h2>\n");
            if (report is null) html.Append($"<p class=\"failed\">It failed: {Text(error ?? "")}</p>\n");
            else Append(html, experiment.Reading, report);
            html.Append("</section>\n");
        }
        return html.Append("</body>\n</html>\n").ToString();
    }

    private static void Append(StringBuilder html, string reading, LabReport report)
    {
        html.Append($"<p class=\"reading\">{Text(reading)}</p>\n");
        foreach (var sentence in report.Sentences) html.Append($"<p>{Text(sentence)}</p>\n");
        foreach (var picture in report.Pictures)
        {
            var svg = Convert.ToBase64String(Encoding.UTF8.GetBytes(picture.Svg));
            html.Append($"<p><img alt=\"{Text(picture.Caption)}\" src=\"data:image/svg+xml;base64,{svg}\"></p>\n");
        }
        foreach (var table in report.Tables)
        {
            html.Append($"<table>\n<caption>{Text(table.Title)}</caption>\n<tr>")
                .AppendJoin("", table.Columns.Select(column => $"<th>{Text(column)}</th>")).Append("</tr>\n");
            foreach (var row in table.Rows)
                html.Append("<tr>").AppendJoin("", row.Select(cell => $"<td>{Text(cell)}</td>")).Append("</tr>\n");
            html.Append("</table>\n");
        }
    }

    private static string Text(string text) => WebUtility.HtmlEncode(text);
}
