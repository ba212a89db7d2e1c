using System.Text.Json;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>A JSON value that knows its file and its path, so that every complaint can name both.</summary>
internal readonly struct JsonAt(string file, string path, JsonElement value)
{
    public string File { get; } = file;
    public string Path { get; } = path;
    public JsonElement Value { get; } = value;
    public JsonValueKind Kind => Value.ValueKind;
    public bool IsNull => Kind is JsonValueKind.Null or JsonValueKind.Undefined;

    /// <summary>Reads a whole file. The document is copied, so nothing needs disposing.</summary>
    public static JsonAt Load(string file)
    {
        try
        {
            using var document = JsonDocument.Parse(TextFile.Bytes(file));
            return new JsonAt(file, "", document.RootElement.Clone());
        }
        catch (JsonException e)
        {
            throw new UserErrorException(
                $"{file}: must be JSON, but line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1} is not valid");
        }
    }

    public UserErrorException Error(string must, string? got = null) =>
        new($"{File}: {Place} must be {must}, but is {got ?? Describe()}");

    public string Place => Path.Length == 0 ? "the file" : Path.TrimEnd(',', ' ');

    /// <summary>The member, or a null value when it is absent.</summary>
    public JsonAt Get(string name)
    {
        if (Kind != JsonValueKind.Object) throw Error("an object");
        return new JsonAt(File, Join(name), Value.TryGetProperty(name, out var member) ? member : default);
    }

    public string Text()
    {
        if (Kind != JsonValueKind.String) throw Error("a string");
        try
        {
            return Value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw Error("a string of whole Unicode characters", "one with half a surrogate pair or invalid UTF-8");
        }
    }

    public string? TextOrNull() => IsNull ? null : Text();

    public bool Bool(bool absent) => Kind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        JsonValueKind.Null or JsonValueKind.Undefined => absent,
        _ => throw Error("true or false"),
    };

    public int Int() => Kind == JsonValueKind.Number && Value.TryGetInt32(out int number)
        ? number
        : throw Error("a whole number");

    public IEnumerable<JsonAt> Items()
    {
        if (IsNull) yield break;
        if (Kind != JsonValueKind.Array) throw Error("a list");
        int index = 0;
        foreach (var item in Value.EnumerateArray()) yield return new JsonAt(File, $"{Path}[{index++}]", item);
    }

    public IEnumerable<(string Name, JsonAt Value)> Members()
    {
        if (IsNull) yield break;
        if (Kind != JsonValueKind.Object) throw Error("an object");
        foreach (var member in Value.EnumerateObject())
            yield return (member.Name, new JsonAt(File, Join(member.Name), member.Value));
    }

    // "model" and "vocab" give model.vocab; "record 3, " and "output" give record 3, output.
    private string Join(string name) => Path.Length == 0 || Path.EndsWith(' ') ? Path + name : $"{Path}.{name}";

    private string Describe() => Kind switch
    {
        JsonValueKind.Undefined => "absent",
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "a list",
        _ => Value.GetRawText() is { Length: > 40 } text ? text[..40] + "..." : Value.GetRawText(),
    };
}
