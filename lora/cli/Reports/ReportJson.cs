using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace CudaLora.Cli;

/// <summary>JSON that people read too: indented, nothing escaped that need not be.</summary>
internal static class ReportJson
{
    private static readonly JsonSerializerOptions Options = new()
    {
        WriteIndented = true,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    private static readonly JsonSerializerOptions OneLine = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>On one line, for files of JSON lines.</summary>
    public static string Line(JsonObject json) => json.ToJsonString(OneLine);

    public static string Text(JsonObject json) => json.ToJsonString(Options);

    /// <summary>A number, or null: JSON has no NaN.</summary>
    public static JsonValue? Number(double? value) =>
        value is double number && double.IsFinite(number) ? JsonValue.Create(number) : null;
}
