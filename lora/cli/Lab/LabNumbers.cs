using System.Text.Json.Nodes;

namespace CudaLora.Cli;

/// <summary>Numbers for JSON.</summary>
internal static class LabNumbers
{
    public static JsonArray Array(IEnumerable<double> values) =>
        new([.. values.Select(value => (JsonNode?)ReportJson.Number(value))]);

    public static JsonArray Matrix(double[,] values) => new([.. Enumerable.Range(0, values.GetLength(0)).Select(
        i => (JsonNode?)Array(Enumerable.Range(0, values.GetLength(1)).Select(j => values[i, j])))]);
}
