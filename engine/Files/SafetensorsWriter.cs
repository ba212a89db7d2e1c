using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Encodings.Web;
using System.Text.Json;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>
/// Collects tensors and saves them as a safetensors file. The file is the same for the same tensors in any order:
/// wider element types first, then by name, as the reference implementation writes it, with metadata
/// <c>{"format":"pt"}</c> and the header padded with spaces to 8 bytes. Data is streamed, never held whole.
/// </summary>
public sealed partial class SafetensorsWriter
{
    private const int ChunkElements = 1 << 14;
    private const int WholeSpan = 1 << 28;

    private static readonly JsonWriterOptions HeaderOptions =
        new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly SortedDictionary<string, string> metadata = new(StringComparer.Ordinal) { ["format"] = "pt" };
    private readonly Dictionary<string, Planned> planned = new(StringComparer.Ordinal);

    private sealed record Planned(SafetensorsEntry Entry, Action<Stream> Write);

    /// <summary>The <c>__metadata__</c> texts to be written; <c>format</c> is <c>pt</c> from the start.</summary>
    public IDictionary<string, string> Metadata => metadata;

    /// <summary>Bytes of all tensors added so far, without the header.</summary>
    public long DataLength => planned.Values.Sum(t => t.Entry.ByteCount);

    /// <summary>Adds a tensor whose bytes are written, little-endian, when the file is saved.</summary>
    /// <param name="name">The key; each once.</param>
    /// <param name="dtype">Element type in the file.</param>
    /// <param name="shape">Dimensions, outermost first; empty for a scalar.</param>
    /// <param name="write">Must write exactly the product of the shape times the element size.</param>
    public void Add(string name, SafetensorsDType dtype, ReadOnlySpan<long> shape, Action<Stream> write)
    {
        long bytes = dtype.Size();
        foreach (long dim in shape)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(dim, nameof(shape));
            bytes = checked(bytes * dim);
        }
        if (name == "__metadata__" || !planned.TryAdd(
                name, new Planned(new SafetensorsEntry(name, dtype, shape.ToArray(), 0, bytes), write)))
            throw new ArgumentException($"[safetensors] each tensor name must be new, but got '{name}'", nameof(name));
    }

    /// <summary>Adds a tensor of bytes already in the form of the file. Nothing is copied until the save.</summary>
    public void Add(string name, SafetensorsDType dtype, ReadOnlySpan<long> shape, ReadOnlyMemory<byte> bytes) =>
        Add(name, dtype, shape, stream => stream.Write(bytes.Span));

    /// <summary>Adds singles stored as F32, BF16 or F16. Nothing is copied until the save.</summary>
    public void AddF32(
        string name, ReadOnlySpan<long> shape, ReadOnlyMemory<float> values,
        SafetensorsDType storeAs = SafetensorsDType.F32) =>
        Add(name, RequireFloat(storeAs), shape, stream => WriteF32(stream, values.Span, storeAs));

    /// <summary>Saves to a file, replacing it atomically; see <see cref="AtomicFile"/>.</summary>
    /// <exception cref="UserErrorException">The disk is full or the path not writable.</exception>
    public void Save(string path) => AtomicFile.Write(path, WriteTo);

    /// <summary>Writes the file into a stream.</summary>
    public void WriteTo(Stream stream) => WriteTo(stream, Ordered());

    /// <summary>
    /// Saves a model folder: <c>stem.safetensors</c>, or, above <paramref name="maxShardBytes"/>, shards with
    /// <c>stem.safetensors.index.json</c>. All files are written beside and flushed before the first is renamed.
    /// </summary>
    public void SaveFolder(string folder, string stem = "model", long maxShardBytes = 5_000_000_000)
    {
        List<List<Planned>> shards = Split(maxShardBytes);
        var staged = new List<StagedFile>();
        string single = Path.Combine(folder, $"{stem}.safetensors");
        string index = SafetensorsIndex.PathIn(folder, stem);
        try
        {
            if (shards.Count == 1)
            {
                staged.Add(AtomicFile.Stage(single, WriteTo));
            }
            else
            {
                var weightMap = new Dictionary<string, string>(StringComparer.Ordinal);
                for (int i = 0; i < shards.Count; i++)
                {
                    string name = $"{stem}-{i + 1:D5}-of-{shards.Count:D5}.safetensors";
                    List<Planned> shard = shards[i];
                    foreach (Planned tensor in shard) weightMap.Add(tensor.Entry.Name, name);
                    staged.Add(AtomicFile.Stage(Path.Combine(folder, name), s => WriteTo(s, shard)));
                }
                staged.Add(AtomicFile.Stage(index, new SafetensorsIndex(weightMap, DataLength).WriteTo));
            }
            foreach (StagedFile file in staged) file.Commit();
            // The other form, from an earlier save, would be read instead of or beside the new one.
            File.Delete(shards.Count == 1 ? index : single);
        }
        catch (Exception e) when (FileErrors.IsFileSystem(e))
        {
            throw FileErrors.CannotWrite(folder, e);
        }
        finally
        {
            foreach (StagedFile file in staged) file.Dispose();
        }
    }

    /// <summary>Writes singles to a stream as F32, BF16 or F16, in chunks.</summary>
    public static unsafe void WriteF32(Stream stream, ReadOnlySpan<float> values, SafetensorsDType storeAs)
    {
        if (RequireFloat(storeAs) == SafetensorsDType.F32)
        {
            for (int i = 0; i < values.Length; i += ChunkElements)
                stream.Write(MemoryMarshal.AsBytes(values.Slice(i, Math.Min(ChunkElements, values.Length - i))));
            return;
        }
        ushort[] chunk = new ushort[Math.Min(ChunkElements, values.Length)];
        for (int i = 0; i < values.Length; i += ChunkElements)
        {
            int count = Math.Min(ChunkElements, values.Length - i);
            fixed (float* source = values[i..])
            fixed (ushort* destination = chunk)
            {
                if (storeAs == SafetensorsDType.BF16) CastKernel.ToBFloat16(source, destination, count);
                else CastKernel.ToHalf(source, destination, count);
            }
            stream.Write(MemoryMarshal.AsBytes(chunk.AsSpan(0, count)));
        }
    }

    private static SafetensorsDType RequireFloat(SafetensorsDType dtype) =>
        dtype is SafetensorsDType.F32 or SafetensorsDType.BF16 or SafetensorsDType.F16
            ? dtype
            : throw new ArgumentException($"[safetensors] singles are stored as F32, BF16 or F16, but got {dtype}");

    private List<Planned> Ordered() => planned.Values
        .OrderByDescending(t => t.Entry.DType)
        .ThenBy(t => t.Entry.Name, StringComparer.Ordinal)
        .ToList();

    private List<List<Planned>> Split(long maxShardBytes)
    {
        var shards = new List<List<Planned>> { new() };
        long size = 0;
        foreach (Planned tensor in Ordered())
        {
            if (size > 0 && size + tensor.Entry.ByteCount > maxShardBytes)
            {
                shards.Add([]);
                size = 0;
            }
            shards[^1].Add(tensor);
            size += tensor.Entry.ByteCount;
        }
        return shards;
    }

    private void WriteTo(Stream stream, List<Planned> tensors)
    {
        byte[] header = Header(tensors);
        Span<byte> length = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(length, (ulong)header.Length);
        stream.Write(length);
        stream.Write(header);
        foreach (Planned tensor in tensors)
        {
            long before = stream.Position;
            tensor.Write(stream);
            if (stream.Position - before != tensor.Entry.ByteCount)
                throw new InvalidOperationException($"[safetensors] {tensor.Entry.Name} must write "
                    + $"{tensor.Entry.ByteCount} bytes, but wrote {stream.Position - before}");
        }
    }

    private byte[] Header(List<Planned> tensors)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, HeaderOptions))
        {
            json.WriteStartObject();
            json.WriteStartObject("__metadata__");
            foreach ((string key, string value) in metadata) json.WriteString(key, value);
            json.WriteEndObject();
            long offset = 0;
            foreach (Planned tensor in tensors)
            {
                json.WriteStartObject(tensor.Entry.Name);
                json.WriteString("dtype", tensor.Entry.DType.FileName());
                json.WriteStartArray("shape");
                foreach (long dim in tensor.Entry.Shape) json.WriteNumberValue(dim);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset += tensor.Entry.ByteCount);
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        while (buffer.Length % 8 != 0) buffer.WriteByte((byte)' ');
        return buffer.ToArray();
    }
}
