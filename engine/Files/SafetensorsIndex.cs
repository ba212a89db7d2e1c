using System.Text.Json;
using System.Text.Json.Nodes;

namespace CudaLora.Engine;

/// <summary>
/// <c>model.safetensors.index.json</c>: which shard holds which tensor. Written with two-space indent and sorted keys,
/// as Hugging Face does.
/// </summary>
public sealed class SafetensorsIndex
{
    private static readonly JsonWriterOptions WriterOptions = new() { Indented = true };

    /// <summary>Creates an index from tensor name to shard file name, and the bytes of all tensors.</summary>
    public SafetensorsIndex(IReadOnlyDictionary<string, string> weightMap, long totalSize) =>
        (WeightMap, TotalSize) = (weightMap, totalSize);

    /// <summary>Tensor name to file name, beside the index.</summary>
    public IReadOnlyDictionary<string, string> WeightMap { get; }

    /// <summary>Bytes of all tensors; 0 if the file does not say.</summary>
    public long TotalSize { get; }

    /// <summary>The path of the index in a folder.</summary>
    public static string PathIn(string folder, string stem = "model") =>
        Path.Combine(folder, $"{stem}.safetensors.index.json");

    /// <summary>Reads an index.</summary>
    /// <exception cref="UserErrorException">Not an index, or a shard name that leaves the folder.</exception>
    public static SafetensorsIndex Read(string path)
    {
        JsonFields root = JsonFields.Read(path);
        var map = new Dictionary<string, string>(StringComparer.Ordinal);
        if (root.Object("weight_map") is not JsonFields weights)
            throw root.Refuse("weight_map", "an object from tensor name to file name");
        foreach (string tensor in weights.Names)
        {
            string file = weights.String(tensor)!;
            // A shard is a plain name: an index from the net must not point elsewhere on this machine.
            if (file.AsSpan().ContainsAny('/', '\\', ':') || !file.EndsWith(".safetensors", StringComparison.Ordinal))
                throw weights.Refuse(tensor, "the name of a .safetensors file in the same folder");
            map.Add(tensor, file);
        }
        if (map.Count == 0) throw root.Refuse("weight_map", "an object with at least one tensor");
        long total = root.Object("metadata")?.Long("total_size", 0) ?? 0;
        return new SafetensorsIndex(map, total);
    }

    /// <summary>Writes the index, replacing it atomically.</summary>
    public void Write(string path) => AtomicFile.Write(path, WriteTo);

    internal void WriteTo(Stream stream)
    {
        using (var json = new Utf8JsonWriter(stream, WriterOptions))
        {
            json.WriteStartObject();
            json.WriteStartObject("metadata");
            json.WriteNumber("total_size", TotalSize);
            json.WriteEndObject();
            json.WriteStartObject("weight_map");
            foreach ((string tensor, string file) in WeightMap.OrderBy(p => p.Key, StringComparer.Ordinal))
                json.WriteString(tensor, file);
            json.WriteEndObject();
            json.WriteEndObject();
        }
        stream.WriteByte((byte)'\n');
    }
}
