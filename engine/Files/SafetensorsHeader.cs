using System.Text.Json;
using System.Text.Unicode;

namespace CudaLora.Engine;

/// <summary>
/// Parses the JSON header of a safetensors file and proves that every tensor lies inside the file. Nothing is allocated
/// for what the header claims, only for what it contains. Format: 8 bytes little-endian header length, the JSON, the
/// data, which the tensors cover without holes or overlaps.
/// </summary>
internal static class SafetensorsHeader
{
    /// <summary>The limit of the reference implementation.</summary>
    internal const long MaxLength = 100_000_000;

    private const int MaxRank = 64;

    internal sealed record Content(
        IReadOnlyDictionary<string, SafetensorsEntry> Entries, IReadOnlyDictionary<string, string> Metadata);

    /// <summary>Checks the length field alone, before any byte of the header is touched.</summary>
    internal static int CheckLength(string path, ulong length, long fileLength)
    {
        if (length > MaxLength)
            throw Refuse(path,
                $"the header length must be at most {MaxLength} bytes, but is {length} (not a safetensors file?)");
        if ((long)length > fileLength - 8)
            throw Refuse(path, $"the header must fit in the file, but is {length} bytes of {fileLength} (truncated?)");
        if (length < 2)
            throw Refuse(path, $"the header must be a JSON object, but has {length} bytes");
        return (int)length;
    }

    /// <param name="path">Named in errors.</param>
    /// <param name="header">The JSON bytes.</param>
    /// <param name="dataLength">Bytes of the file after the header.</param>
    internal static Content Parse(string path, ReadOnlySpan<byte> header, long dataLength)
    {
        if (!Utf8.IsValid(header)) throw Refuse(path, "the header must be UTF-8, but has invalid bytes");
        var entries = new Dictionary<string, SafetensorsEntry>(StringComparer.Ordinal);
        Dictionary<string, string>? metadata = null;
        long dataStart = 8 + header.Length;
        try
        {
            var reader = new Utf8JsonReader(header);
            Expect(path, ref reader, JsonTokenType.StartObject, "the header");
            while (Next(path, ref reader) == JsonTokenType.PropertyName)
            {
                string name = reader.GetString()!;
                if (name == "__metadata__")
                {
                    if (metadata is not null) throw Refuse(path, "'__metadata__' must appear once, but appears twice");
                    metadata = ReadMetadata(path, ref reader);
                    continue;
                }
                SafetensorsEntry entry = ReadEntry(path, name, ref reader, dataStart, dataLength);
                if (!entries.TryAdd(name, entry))
                    throw Refuse(path, name, "must appear once, but appears twice");
            }
            while (reader.Read())
            {
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new UserErrorException(
                $"{path}: the safetensors header is not valid JSON: {FileErrors.OneLine(e.Message)}", e);
        }
        CheckCover(path, entries.Values, dataStart, dataLength);
        return new Content(entries, metadata ?? []);
    }

    private static Dictionary<string, string> ReadMetadata(string path, ref Utf8JsonReader reader)
    {
        Expect(path, ref reader, JsonTokenType.StartObject, "'__metadata__'");
        var metadata = new Dictionary<string, string>(StringComparer.Ordinal);
        while (Next(path, ref reader) == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            Expect(path, ref reader, JsonTokenType.String, $"'__metadata__' {FileErrors.Quote(key)}");
            if (!metadata.TryAdd(key, reader.GetString()!))
                throw Refuse(path, $"'__metadata__' {FileErrors.Quote(key)} must appear once, but appears twice");
        }
        return metadata;
    }

    private static SafetensorsEntry ReadEntry(
        string path, string name, ref Utf8JsonReader reader, long dataStart, long dataLength)
    {
        string what = $"tensor {FileErrors.Quote(name)}";
        Expect(path, ref reader, JsonTokenType.StartObject, what);
        string? dtypeName = null;
        List<long>? shape = null, offsets = null;
        while (Next(path, ref reader) == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("dtype"u8))
            {
                if (dtypeName is not null) throw Refuse(path, name, "must have one dtype, but has two");
                Expect(path, ref reader, JsonTokenType.String, $"{what}: dtype");
                dtypeName = reader.GetString()!;
            }
            else if (reader.ValueTextEquals("shape"u8))
            {
                if (shape is not null) throw Refuse(path, name, "must have one shape, but has two");
                shape = ReadNumbers(path, name, "shape", MaxRank, ref reader);
            }
            else if (reader.ValueTextEquals("data_offsets"u8))
            {
                if (offsets is not null) throw Refuse(path, name, "must have one data_offsets, but has two");
                offsets = ReadNumbers(path, name, "data_offsets", 2, ref reader);
            }
            else
            {
                reader.Skip();
            }
        }
        if (dtypeName is null || shape is null || offsets is null || offsets.Count != 2)
            throw Refuse(path, name, "must have a dtype, a shape and data_offsets of two numbers, but has not");
        if (!SafetensorsDTypes.TryParse(dtypeName, out SafetensorsDType dtype))
            throw Refuse(path, name, $"dtype must be one of {SafetensorsDTypes.AllNames}, "
                + $"but is {FileErrors.Quote(dtypeName)}");
        (long begin, long end) = (offsets[0], offsets[1]);
        if (begin > end || end > dataLength)
            throw Refuse(path, name, $"data_offsets must lie within the {dataLength} bytes of data, "
                + $"but are [{begin}, {end}] (truncated file?)");
        if (!TryByteCount(shape, dtype.Size(), out long bytes) || bytes != end - begin)
            throw Refuse(path, name, $"data_offsets must span shape times element size, but span {end - begin} bytes "
                + $"for {dtype.FileName()} {SafetensorsEntry.ShapeToText(shape)}");
        return new SafetensorsEntry(name, dtype, shape.ToArray(), dataStart + begin, bytes);
    }

    private static List<long> ReadNumbers(
        string path, string name, string field, int most, ref Utf8JsonReader reader)
    {
        Expect(path, ref reader, JsonTokenType.StartArray, $"tensor {FileErrors.Quote(name)}: {field}");
        var numbers = new List<long>();
        while (Next(path, ref reader) != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out long value) || value < 0)
                throw Refuse(path, name, $"{field} must hold whole numbers from 0 to 2^63 - 1, but does not");
            if (numbers.Count == most)
                throw Refuse(path, name, $"{field} must hold at most {most} numbers, but holds more");
            numbers.Add(value);
        }
        return numbers;
    }

    private static bool TryByteCount(List<long> shape, int elementSize, out long bytes)
    {
        bytes = shape.Contains(0) ? 0 : elementSize;
        if (bytes == 0) return true;
        foreach (long dim in shape)
        {
            if (dim > long.MaxValue / bytes) return false;
            bytes *= dim;
        }
        return true;
    }

    private static void CheckCover(
        string path, IEnumerable<SafetensorsEntry> entries, long dataStart, long dataLength)
    {
        long covered = dataStart;
        foreach (SafetensorsEntry entry in entries.OrderBy(e => e.Offset).ThenBy(e => e.ByteCount))
        {
            if (entry.Offset != covered)
                throw Refuse(path, entry.Name, $"must begin where the one before ends, at byte {covered - dataStart}, "
                    + $"but begins at {entry.Offset - dataStart} ({(entry.Offset < covered ? "overlap" : "hole")})");
            covered += entry.ByteCount;
        }
        if (covered != dataStart + dataLength)
            throw Refuse(path, $"the tensors must cover the {dataLength} bytes of data, "
                + $"but cover {covered - dataStart}");
    }

    private static JsonTokenType Next(string path, ref Utf8JsonReader reader) =>
        reader.Read() ? reader.TokenType : throw Refuse(path, "the header must be complete JSON, but ends early");

    private static void Expect(string path, ref Utf8JsonReader reader, JsonTokenType token, string what)
    {
        if (Next(path, ref reader) != token)
            throw Refuse(path, $"{what} must be a JSON {Describe(token)}, but is a {Describe(reader.TokenType)}");
    }

    private static string Describe(JsonTokenType token) => token switch
    {
        JsonTokenType.StartObject => "object",
        JsonTokenType.StartArray => "list",
        JsonTokenType.String => "string",
        JsonTokenType.Number => "number",
        _ => token.ToString().ToLowerInvariant(),
    };

    private static UserErrorException Refuse(string path, string what) => new($"{path}: {what}");

    private static UserErrorException Refuse(string path, string tensor, string what) =>
        new($"{path}: tensor {FileErrors.Quote(tensor)} {what}");
}
