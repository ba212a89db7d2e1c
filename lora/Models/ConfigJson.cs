using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Writes JSON as Hugging Face's Python does: two spaces, sorted keys, numbers as Python spells them.
/// </summary>
internal static class ConfigJson
{
    private static readonly JsonSerializerOptions Options = new()
    {
        WriteIndented = true,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    internal static void Write(string path, JsonObject root) => AtomicFile.WriteText(path, ToText(root) + "\n");

    internal static string ToText(JsonObject root) => Sorted(root)!.ToJsonString(Options);

    /// <summary>A number as Python writes a float that may be whole: 16 stays 16, 0.5 stays 0.5.</summary>
    internal static JsonNode WholeOrReal(double value) =>
        value == Math.Floor(value) && Math.Abs(value) < 1e15 ? JsonValue.Create((long)value) : JsonValue.Create(value);

    /// <summary>A number that Python must read as a float: 0 becomes 0.0.</summary>
    internal static JsonNode Real(double value) =>
        value == Math.Floor(value) && Math.Abs(value) < 1e15
            ? JsonNode.Parse(value.ToString("F1", System.Globalization.CultureInfo.InvariantCulture))!
            : JsonValue.Create(value);

    // In these the first match counts, so that sorting them, as PEFT does, would change what they mean.
    private static bool IsOrdered(string name) => name is "rank_pattern" or "alpha_pattern";

    private static JsonNode? Sorted(JsonNode? node) => node switch
    {
        JsonObject fields => new JsonObject(fields
            .OrderBy(f => f.Key, StringComparer.Ordinal)
            .Select(f => KeyValuePair.Create(f.Key, IsOrdered(f.Key) ? f.Value?.DeepClone() : Sorted(f.Value)))),
        JsonArray items => new JsonArray([.. items.Select(Sorted)]),
        _ => node?.DeepClone(),
    };
}
