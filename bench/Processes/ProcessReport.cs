using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Bench.Processes;

/// <summary>process.json and process.md: a row for each published form, and one for Python.</summary>
internal static class ProcessReport
{
    public const string FileName = "process.json";

    private static readonly JsonSerializerOptions Indented = new()
    {
        WriteIndented = true,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    public static void Write(string folder, JsonObject report)
    {
        Directory.CreateDirectory(folder);
        AtomicFile.WriteText(Path.Combine(folder, FileName), report.ToJsonString(Indented) + "\n");
        var text = new StringBuilder("# Whole processes\n\n");
        foreach (var (name, value) in report["facts"]!.AsObject())
            text.Append(CultureInfo.InvariantCulture, $"- {name}: {value}\n");
        text.Append("\nTimes are medians of whole processes, start to end; memory is the largest resident set. The ");
        text.Append("product is one of 1024 x 1024 x 1024 floats.\n\n");
        text.Append(Table(report, [.. report["forms"]!.AsArray().Select(form => (string)form!["name"]!)]));
        text.Append("\nHow each was made:\n\n");
        foreach (var form in report["forms"]!.AsArray())
            text.Append(CultureInfo.InvariantCulture, $"- {form!["label"]}: `{form["publish"]}`\n");
        AtomicFile.WriteText(Path.Combine(folder, Path.ChangeExtension(FileName, "md")), text.ToString());
    }

    /// <summary>Some forms, and Python where it was measured.</summary>
    public static string Table(JsonNode report, IReadOnlyList<string> names)
    {
        var text = new StringBuilder("| | size |");
        foreach (var job in ProcessJob.All)
            text.Append(CultureInfo.InvariantCulture, $" {job.Label} |");
        text.Append(" product |\n|---|---:|");
        text.Append(string.Concat(ProcessJob.All.Select(_ => "---:|"))).Append("---:|\n");
        foreach (var name in names)
        {
            var form = report["forms"]!.AsArray().Single(form => (string)form!["name"]! == name)!;
            text.Append(CultureInfo.InvariantCulture, $"| {form["label"]} | {Megabytes(form["bytes"])} |");
            foreach (var job in ProcessJob.All)
                text.Append(CultureInfo.InvariantCulture, $" {Cost(form["jobs"]![job.Name]!)} |");
            text.Append(CultureInfo.InvariantCulture, $" {(double)form["product_gflops"]!:0} GFLOP/s |\n");
        }
        if (report["torch"] is { } torch)
        {
            var size = (long)torch["bytes"]! > 0 ? Megabytes(torch["bytes"]) : "";
            text.Append(CultureInfo.InvariantCulture, $"| `python3 -c \"import torch\"`, torch {torch["version"]} |");
            text.Append(CultureInfo.InvariantCulture, $" {size} | {Cost(torch["import"]!)} | | | |\n");
        }
        return text.ToString();
    }

    private static string Cost(JsonNode job)
    {
        var milliseconds = (double)job["wall_ms"]!;
        var time = milliseconds < 1000 ? $"{milliseconds:0} ms" : FormattableString.Invariant($"{milliseconds / 1000:0.0} s");
        return $"{time}, {Megabytes(job["peak_bytes"])}";
    }

    private static string Megabytes(JsonNode? bytes) =>
        string.Create(CultureInfo.InvariantCulture, $"{(long)bytes! / 1e6:#,0} MB");
}
