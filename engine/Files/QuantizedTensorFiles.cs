using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace CudaLora.Engine;

/// <summary>
/// 4-bit weights in safetensors files as bitsandbytes writes them: <c>P.weight</c> with the packed codes and, beside
/// it, <c>.absmax</c>, <c>.quant_map</c>, <c>.nested_absmax</c>, <c>.nested_quant_map</c> and
/// <c>.quant_state.bitsandbytes__nf4</c>, whose bytes are JSON.
/// </summary>
public static unsafe class QuantizedTensorFiles
{
    private const string State = ".quant_state.bitsandbytes__";

    private static readonly string[] Parts = [".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map"];

    /// <summary>True when the files hold <paramref name="key"/> as a 4-bit weight, complete or not.</summary>
    public static bool Holds(SafetensorsSet set, string key) => KeysOf(set, key).Any();

    /// <summary>The keys beside <paramref name="key"/> that describe its codes.</summary>
    public static IEnumerable<string> KeysOf(SafetensorsSet set, string key)
    {
        foreach (var part in Parts)
        {
            if (set.Tensors.ContainsKey(key + part))
                yield return key + part;
        }
        foreach (var type in QuantizationOptions.TypeNames)
        {
            if (set.Tensors.ContainsKey(key + State + type))
                yield return key + State + type;
        }
    }

    /// <summary>True for a tensor that describes the codes of another: no weight of its own.</summary>
    public static bool IsPart(string key) => key.Contains(State, StringComparison.Ordinal)
        || Parts.Any(part => key.EndsWith(".weight" + part, StringComparison.Ordinal));

    /// <summary>Reads a 4-bit weight with its own tables, in host memory.</summary>
    /// <param name="set">The files; the parts may lie in different shards.</param>
    /// <param name="key">Key of the codes.</param>
    /// <param name="shape">The shape it must have, (out, in); null for any matrix.</param>
    /// <exception cref="UserErrorException">A part is missing or does not fit; the message names the
    /// tensor.</exception>
    public static QuantizedTensor Read(SafetensorsSet set, string key, Shape? shape = null)
    {
        var (file, codes) = Find(set, key, key);
        var stateKey = StateKey(set, key, file.Path);
        var state = ReadState(set, stateKey, key);
        if (shape is { } wanted && state.Shape != wanted)
            throw new UserErrorException(
                $"{file.Path}: tensor {FileErrors.Quote(key)} must have shape {wanted}, but its quant_state has "
                + $"shape {state.Shape}");
        var n = state.Shape.Count;
        RequireBytes(file, codes, (n + 1) / 2, $"{n} codes of 4 bits");
        var blocks = QuantizedTensor.BlocksOf(n, state.Options.BlockSize);
        var groups = QuantizedTensor.BlocksOf(blocks, state.GroupSize);
        // All are looked up before the first is copied, so that a refusal leaves nothing behind.
        var book = FindFloats(set, key, ".quant_map", 16);
        var nested = state.Options.DoubleQuant;
        var absMax = nested ? FindBytes(set, key, ".absmax", blocks) : FindFloats(set, key, ".absmax", blocks);
        var groupMax = nested ? FindFloats(set, key, ".nested_absmax", groups) : default;
        var map = nested ? FindFloats(set, key, ".nested_quant_map", 256) : default;
        var parts = new QuantizedParts(
            Bytes(file, codes), Floats(book), nested ? Bytes(absMax.File, absMax.Entry) : Floats(absMax),
            nested ? Floats(groupMax) : null, nested ? Floats(map) : null, state.Offset, state.GroupSize);
        var tensor = new QuantizedTensor(state.Shape, state.Options, parts, key);
        CheckScales(tensor, absMax.File.Path);
        return tensor;
    }

    /// <summary>Shape and kind of a 4-bit weight, from its description alone.</summary>
    /// <exception cref="UserErrorException">The description is missing or malformed.</exception>
    public static (Shape Shape, QuantizationOptions Options) Describe(SafetensorsSet set, string key)
    {
        var state = ReadState(set, StateKey(set, key, set.Folder), key);
        return (state.Shape, state.Options);
    }

    /// <summary>Adds a 4-bit weight under <paramref name="key"/>; it must live until the save.</summary>
    public static void Add(SafetensorsWriter writer, string key, QuantizedTensor tensor)
    {
        var parts = tensor.Parts;
        writer.AddAsItIs(key, parts.Codes, parts.Codes.Count, 1);
        writer.AddAsItIs(key + ".absmax", parts.AbsMax);
        writer.AddAsItIs(key + ".quant_map", parts.Codebook);
        if (tensor.Options.DoubleQuant)
        {
            writer.AddAsItIs(key + ".nested_absmax", parts.NestedAbsMax!);
            writer.AddAsItIs(key + ".nested_quant_map", parts.NestedMap!);
        }
        var state = Encoding.UTF8.GetBytes(StateText(tensor));
        writer.Add(
            key + State + QuantizationOptions.NameOf(tensor.Options.Type), SafetensorsDType.U8, [state.Length], state);
    }

    // As Python's json.dumps writes it, in bitsandbytes' order.
    internal static string StateText(QuantizedTensor tensor)
    {
        var (options, shape) = (tensor.Options, tensor.Shape);
        var text = $"{{\"quant_type\": \"{QuantizationOptions.NameOf(options.Type)}\", "
            + $"\"blocksize\": {options.BlockSize}, \"dtype\": \"{TypeName(options.ValueType)}\", "
            + $"\"shape\": [{shape[0]}, {shape[1]}]";
        if (options.DoubleQuant)
        {
            var offset = ((double)tensor.Parts.Offset).ToString("R", CultureInfo.InvariantCulture);
            text += $", \"nested_blocksize\": {tensor.Parts.GroupSize}, \"nested_dtype\": \"float32\", "
                + $"\"nested_offset\": {offset.Replace('E', 'e')}";
        }
        return text + "}";
    }

    private static string TypeName(SafetensorsDType type) => type switch
    {
        SafetensorsDType.BF16 => "bfloat16",
        SafetensorsDType.F16 => "float16",
        _ => "float32",
    };

    private static string StateKey(SafetensorsSet set, string key, string path)
    {
        var found = set.Tensors.Keys
            .Where(name => name.StartsWith(key + State, StringComparison.Ordinal)).Order(StringComparer.Ordinal)
            .ToArray();
        if (found.Length == 0)
            throw new UserErrorException(
                $"{path}: has no tensor {FileErrors.Quote(key + State + "nf4")}, which the 4-bit weight "
                + $"{FileErrors.Quote(key)} needs");
        if (found.Length > 1 || QuantizationOptions.ParseType(found[0][(key + State).Length..]) is null)
            throw new UserErrorException(
                $"{path}: the 4-bit weight {FileErrors.Quote(key)} must have one quant_state of type nf4 or fp4, but has "
                + string.Join(" and ", found.Select(FileErrors.Quote)));
        return found[0];
    }

    private sealed record StateFields(Shape Shape, QuantizationOptions Options, int GroupSize, float Offset);

    private static StateFields ReadState(SafetensorsSet set, string stateKey, string key)
    {
        var (file, entry) = Find(set, stateKey, key);
        var json = Parse(file, entry);
        var type = stateKey[(key + State).Length..];
        if (json.String("quant_type") != type)
            throw json.Refuse("quant_type", $"{type}, as its key says");
        if (!QuantizationOptions.IsBlockSize(json.RequiredInt("blocksize")))
            throw json.Refuse("blocksize", "a power of two from 32 to 4096");
        if (json.Ints("shape") is not [> 0, > 0] shape || (long)shape[0] * shape[1] > int.MaxValue * 2L)
            throw json.Refuse("shape", "two positive numbers");
        var nested = json.Has("nested_offset") || json.Has("nested_blocksize");
        var group = nested ? json.RequiredInt("nested_blocksize") : QuantizedTensor.GroupSize;
        if (!System.Numerics.BitOperations.IsPow2(group))
            throw json.Refuse("nested_blocksize", "a power of two");
        if (nested && json.Double("nested_offset") is null)
            throw json.Refuse("nested_offset", "a finite number");
        var options = new QuantizationOptions
        {
            Type = QuantizationOptions.ParseType(type)!.Value,
            BlockSize = json.RequiredInt("blocksize"),
            DoubleQuant = nested,
            ValueType = json.String("dtype") switch
            {
                "bfloat16" => SafetensorsDType.BF16,
                "float16" => SafetensorsDType.F16,
                "float32" => SafetensorsDType.F32,
                _ => throw json.Refuse("dtype", "bfloat16, float16 or float32"),
            },
        };
        return new StateFields(
            Shape.Of(shape[0], shape[1]), options, group, (float)json.Double("nested_offset", 0));
    }

    private static JsonFields Parse(SafetensorsFile file, SafetensorsEntry entry)
    {
        var where = $"{file.Path}: tensor {FileErrors.Quote(entry.Name)}";
        if (entry.DType != SafetensorsDType.U8 || entry.ByteCount > 1 << 16)
            throw new UserErrorException(
                $"{where} must be U8 bytes of a JSON object, but is {entry.DType.FileName()} {entry.ShapeText}");
        try
        {
            // Some writers fill the bytes up.
            if (JsonNode.Parse(file.Bytes(entry).TrimEnd((byte)0)) is JsonObject root)
                return new JsonFields(root, where);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException)
        {
            throw new UserErrorException($"{where} is not valid JSON: {FileErrors.OneLine(e.Message)}", e);
        }
        throw new UserErrorException($"{where} must hold a JSON object");
    }

    private static (SafetensorsFile File, SafetensorsEntry Entry) Find(SafetensorsSet set, string name, string key) =>
        set.Tensors.TryGetValue(name, out var found)
            ? found
            : throw new UserErrorException(
                $"{set.Folder}: has no tensor {FileErrors.Quote(name)}, which the 4-bit weight "
                + $"{FileErrors.Quote(key)} needs");

    private static (SafetensorsFile File, SafetensorsEntry Entry) FindFloats(
        SafetensorsSet set, string key, string part, long count)
    {
        var found = Find(set, key + part, key);
        return found.Entry.DType.ConvertsToF32() && found.Entry.Count == count
            ? found
            : throw new UserErrorException(
                $"{found.File.Path}: tensor {FileErrors.Quote(key + part)} must be {count} F32 values, but is "
                + $"{found.Entry.DType.FileName()} {found.Entry.ShapeText}");
    }

    private static (SafetensorsFile File, SafetensorsEntry Entry) FindBytes(
        SafetensorsSet set, string key, string part, long count)
    {
        var found = Find(set, key + part, key);
        if (found.Entry.DType != SafetensorsDType.U8)
            throw new UserErrorException(
                $"{found.File.Path}: tensor {FileErrors.Quote(key + part)} must be U8, as quant_state has nested_offset, "
                + $"but is {found.Entry.DType.FileName()} {found.Entry.ShapeText}");
        RequireBytes(found.File, found.Entry, count, $"{count} scales");
        return found;
    }

    private static void RequireBytes(SafetensorsFile file, SafetensorsEntry entry, long bytes, string what)
    {
        if (entry.ByteCount != bytes)
            throw new UserErrorException(
                $"{file.Path}: tensor {FileErrors.Quote(entry.Name)} must have {bytes} bytes for {what}, but has "
                + $"{entry.ByteCount} ({entry.DType.FileName()} {entry.ShapeText})");
    }

    private static Tensor Bytes(SafetensorsFile file, SafetensorsEntry entry)
    {
        var bytes = QuantizedTensor.Owned(entry.ByteCount, DType.U8);
        Buffer.MemoryCopy(file.Pointer(entry), bytes.Pointer<byte>(), entry.ByteCount, entry.ByteCount);
        return bytes;
    }

    private static Tensor Floats((SafetensorsFile File, SafetensorsEntry Entry) found)
    {
        var floats = QuantizedTensor.Owned(found.Entry.Count, DType.F32);
        found.File.CopyToF32(found.Entry, floats.Pointer<float>());
        return floats;
    }

    private static void CheckScales(QuantizedTensor tensor, string path)
    {
        var scales = tensor.Options.DoubleQuant ? tensor.Parts.NestedAbsMax! : tensor.Parts.AbsMax;
        foreach (var scale in scales.Span<float>())
        {
            if (float.IsFinite(scale))
                continue;
            var part = tensor.Options.DoubleQuant ? ".nested_absmax" : ".absmax";
            tensor.Dispose();
            throw new UserErrorException(
                $"{path}: tensor {FileErrors.Quote(tensor.Name + part)} must hold finite scales, but one is {scale}");
        }
    }
}
