using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Unicode;

namespace CudaLora.Engine;

/// <summary>
/// Typed reading of a JSON object from a file. A wrong value is refused in one line that names the file, the field, the
/// value and what is accepted. JSON <c>null</c> counts as absent.
/// </summary>
public sealed class JsonFields
{
    private static readonly JsonDocumentOptions Options =
        new() { AllowDuplicateProperties = false, CommentHandling = JsonCommentHandling.Disallow };

    private readonly string prefix;

    /// <summary>Wraps an object; <paramref name="path"/> and <paramref name="prefix"/> are used in errors.</summary>
    public JsonFields(JsonObject root, string path, string prefix = "") =>
        (Root, Path, this.prefix) = (root, path, prefix);

    /// <summary>The object.</summary>
    public JsonObject Root { get; }

    /// <summary>The file it came from.</summary>
    public string Path { get; }

    /// <summary>The keys, in the order of the file.</summary>
    public IEnumerable<string> Names => Root.Select(p => p.Key);

    /// <summary>Reads a file that holds one JSON object.</summary>
    /// <exception cref="UserErrorException">Missing, unreadable, or not a JSON object.</exception>
    public static JsonFields Read(string path)
    {
        try
        {
            ReadOnlySpan<byte> bytes = File.ReadAllBytes(path);
            if (!Utf8.IsValid(bytes)) throw new UserErrorException($"{path}: must be UTF-8, but has invalid bytes");
            if (bytes.StartsWith("\uFEFF"u8)) bytes = bytes[3..];
            JsonNode? node = JsonNode.Parse(bytes, documentOptions: Options);
            CheckNames(node);
            return node is JsonObject root
                ? new JsonFields(root, path)
                : throw new UserErrorException($"{path}: must hold a JSON object, but holds {Describe(node)}");
        }
        catch (JsonException e) when (e.LineNumber is long line)
        {
            throw new UserErrorException(
                $"{path}: is not valid JSON at line {line + 1}, byte {e.BytePositionInLine + 1}", e);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new UserErrorException($"{path}: is not valid JSON: {FileErrors.OneLine(e.Message)}", e);
        }
        catch (Exception e) when (FileErrors.IsFileSystem(e))
        {
            throw FileErrors.CannotRead(path, e);
        }
    }

    /// <summary>True if the field is there and not null.</summary>
    public bool Has(string name) => Root[name] is not null;

    /// <summary>A whole number within 32 bits, or null if absent.</summary>
    public int? Int(string name) => Long(name) is not long value ? null
        : value is >= int.MinValue and <= int.MaxValue ? (int)value
        : throw Refuse(name, "a whole number of 32 bits");

    /// <summary>A whole number, or <paramref name="fallback"/> if absent.</summary>
    public int Int(string name, int fallback) => Int(name) ?? fallback;

    /// <summary>A whole number that must be there and be at least <paramref name="least"/>.</summary>
    public int RequiredInt(string name, int least = 1) =>
        Int(name) is int value && value >= least ? value : throw Refuse(name, $"a whole number of at least {least}");

    /// <summary>A whole number, or null if absent. <c>3.0</c> counts as one.</summary>
    public long? Long(string name)
    {
        if (Root[name] is not JsonNode node) return null;
        if (node.GetValueKind() == JsonValueKind.Number)
        {
            if (node.AsValue().TryGetValue(out long value)) return value;
            if (node.AsValue().TryGetValue(out double real) && real == Math.Floor(real) && Math.Abs(real) < 1e15)
                return (long)real;
        }
        throw Refuse(name, "a whole number");
    }

    /// <summary>A whole number, or <paramref name="fallback"/> if absent.</summary>
    public long Long(string name, long fallback) => Long(name) ?? fallback;

    /// <summary>A finite number, or null if absent.</summary>
    public double? Double(string name)
    {
        if (Root[name] is not JsonNode node) return null;
        return node.GetValueKind() == JsonValueKind.Number && node.AsValue().TryGetValue(out double value)
            && double.IsFinite(value) ? value : throw Refuse(name, "a finite number");
    }

    /// <summary>A finite number, or <paramref name="fallback"/> if absent.</summary>
    public double Double(string name, double fallback) => Double(name) ?? fallback;

    /// <summary>A flag, or <paramref name="fallback"/> if absent.</summary>
    public bool Bool(string name, bool fallback) =>
        Root[name] is not JsonNode node ? fallback : node.GetValueKind() switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw Refuse(name, "true or false"),
        };

    /// <summary>A text, or null if absent.</summary>
    public string? String(string name) => Root[name] is not JsonNode node ? null
        : node.GetValueKind() == JsonValueKind.String ? Text(node, name) : throw Refuse(name, "a text");

    /// <summary>A text or a list of texts, or null if absent.</summary>
    public IReadOnlyList<string>? Strings(string name)
    {
        if (Root[name] is not JsonNode node) return null;
        if (node is JsonArray list && list.All(n => n?.GetValueKind() == JsonValueKind.String))
            return list.Select(n => Text(n!, name)).ToArray();
        return node.GetValueKind() == JsonValueKind.String
            ? [Text(node, name)]
            : throw Refuse(name, "a text or a list of texts");
    }

    /// <summary>A whole number or a list of them, or null if absent.</summary>
    public IReadOnlyList<int>? Ints(string name)
    {
        if (Root[name] is not JsonNode node) return null;
        var values = new List<int>();
        foreach (JsonNode? item in node is JsonArray list ? list.AsEnumerable() : [node])
        {
            if (item?.GetValueKind() != JsonValueKind.Number || !item.AsValue().TryGetValue(out int value))
                throw Refuse(name, "a whole number or a list of whole numbers");
            values.Add(value);
        }
        return values;
    }

    /// <summary>An object, or null if absent.</summary>
    public JsonFields? Object(string name) => Root[name] is not JsonNode node ? null
        : node is JsonObject inner ? new JsonFields(inner, Path, $"{prefix}{name}.")
        : throw Refuse(name, "an object");

    /// <summary>The error for a field: names file, field and value, and says what is accepted.</summary>
    public UserErrorException Refuse(string name, string accepted) => new(
        $"{Path}: {FileErrors.Quote(prefix + name)} must be {accepted}, but is {Describe(Root[name])}");

    // Names are decoded on first use; one with half a surrogate pair must fail here, not later.
    private static void CheckNames(JsonNode? node)
    {
        if (node is JsonObject fields)
            foreach ((_, JsonNode? value) in fields) CheckNames(value);
        else if (node is JsonArray items)
            foreach (JsonNode? item in items) CheckNames(item);
    }

    private string Text(JsonNode node, string name)
    {
        try
        {
            return node.GetValue<string>();
        }
        catch (InvalidOperationException e)
        {
            throw new UserErrorException($"{Path}: {FileErrors.Quote(prefix + name)} must be valid Unicode text", e);
        }
    }

    private static string Describe(JsonNode? node)
    {
        if (node is null) return "missing";
        string text = FileErrors.OneLine(node.ToJsonString());
        return text.Length <= 100 ? text : text[..100] + "...";
    }
}
