using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace CudaLora.Cli;

/// <summary>Numbers for JSON.</summary>
internal static partial class LabNumbers
{
    /// <summary>A list, to six digits.</summary>
    public static JsonArray Array(IEnumerable<double> values) =>
        new([.. values.Select(value => (JsonNode?)ReportJson.Number(Rounded(value)))]);

    public static JsonArray Matrix(double[,] values) => new([.. Enumerable.Range(0, values.GetLength(0)).Select(
        i => (JsonNode?)Array(Enumerable.Range(0, values.GetLength(1)).Select(j => values[i, j])))]);

    /// <summary>A JSON text with each list of numbers on one line.</summary>
    public static string Compact(string json) => List().Replace(json, list => Space().Replace(list.Value, ""));

    private static double Rounded(double value) => double.Parse(
        value.ToString("G6", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    [GeneratedRegex(@"\[\s+-?[0-9][-+0-9.eE,\s]*\]")]
    private static partial Regex List();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Space();
}
