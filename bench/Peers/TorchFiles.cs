using System.Buffers.Binary;
using System.Text.Json;
using static TorchSharp.torch;

namespace CudaLora.Peers;

/// <summary>
/// A safetensors file as one reads it with TorchSharp: the header, then every tensor from the stream into its memory,
/// in F32.
/// </summary>
internal static class TorchFiles
{
    private const int BufferBytes = 1 << 20;

    public static Dictionary<string, Tensor> Read(string path)
    {
        using var stream = File.OpenRead(path);
        var length = new byte[sizeof(long)];
        stream.ReadExactly(length);
        var header = new byte[BinaryPrimitives.ReadInt64LittleEndian(length)];
        stream.ReadExactly(header);
        using var json = JsonDocument.Parse(header);
        var tensors = new Dictionary<string, Tensor>();
        foreach (var entry in json.RootElement.EnumerateObject().Where(e => e.Name != "__metadata__").OrderBy(Offset))
        {
            var type = entry.Value.GetProperty("dtype").GetString() switch
            {
                "F32" => float32,
                "BF16" => bfloat16,
                var other => throw new InvalidDataException($"{path}: {entry.Name} has type {other}"),
            };
            var shape = entry.Value.GetProperty("shape").EnumerateArray().Select(extent => extent.GetInt64());
            var tensor = empty([.. shape], type);
            stream.Position = length.Length + header.Length + Offset(entry);
            tensor.ReadBytesFromStream(stream, BufferBytes);
            if (type != float32)
            {
                using var narrow = tensor;
                tensor = narrow.to_type(float32);
            }
            tensors.Add(entry.Name, tensor);
        }
        return tensors;
    }

    private static long Offset(JsonProperty entry) => entry.Value.GetProperty("data_offsets")[0].GetInt64();
}
