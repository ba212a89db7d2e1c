using System.Text.Json.Nodes;

namespace CudaLora.Cli;

/// <summary>Numbers for JSON.</summary>
internal static class LabNumbers
{
    public static JsonArray Array(IEnumerable<double> values) =>
        new([.. values.Select(value => (JsonNode?)ReportJson.Number(value))]);
}
