using System.Text.Json.Nodes;
using CudaLora.Bench.Processes;

namespace CudaLora.Bench.Readme;

/// <summary>process.json as README's table of whole processes.</summary>
internal static class ProcessFigures
{
    public static string Table(string results)
    {
        var report = JsonNode.Parse(File.ReadAllText(Path.Combine(results, "process", ProcessReport.FileName)))!;
        return ProcessReport.Table(report, [.. report["forms"]!.AsArray().Select(form => (string)form!["name"]!)]);
    }
}
