using CudaLora.Engine;

namespace CudaLora.Tests.Engine;

/// <summary>
/// 4-bit weights and their files, against layers that a second implementation of the format wrote
/// (tests/Golden/nf4_goldens.py).
/// </summary>
public unsafe class QuantizedTensorTests
{
    private static readonly string Golden = Path.Combine(SharedData.Root, "tests", "Golden", "nf4");

    [Theory]
    [InlineData("plain", 64, false)]
    [InlineData("nested", 64, true)]
    [InlineData("ragged", 32, true)]
    [InlineData("zero", 128, true)]
    public void Quantising_GivesTheGoldenFile(string layer, int block, bool nested)
    {
        using var set = SafetensorsSet.Open(Golden, "layers");
        using var before = Floats(set, "before." + layer);
        var options = new QuantizationOptions
        {
            BlockSize = block,
            DoubleQuant = nested,
            ValueType = SafetensorsDType.BF16,
        };
        using var made = QuantizedTensor.Quantize(before, options, layer);
        using var folder = new TemporaryFolder();
        var key = layer + ".weight";
        var writer = new SafetensorsWriter();
        QuantizedTensorFiles.Add(writer, key, made);
        writer.Save(folder.File("layers.safetensors"));

        using var written = SafetensorsSet.Open(folder.Path, "layers");
        var keys = QuantizedTensorFiles.KeysOf(set, key).Append(key).Order().ToArray();
        Assert.Equal(nested ? 6 : 4, keys.Length);
        Assert.Equal(keys, written.Tensors.Keys.Order());
        foreach (var name in keys)
        {
            var (expected, actual) = (set.Tensors[name], written.Tensors[name]);
            Assert.Equal(expected.Entry.DType, actual.Entry.DType);
            Assert.Equal(expected.Entry.Shape, actual.Entry.Shape);
            Assert.Equal(expected.File.Bytes(expected.Entry).ToArray(), actual.File.Bytes(actual.Entry).ToArray());
        }
    }

    [Theory]
    [InlineData("plain", 0.07, 0.12)]
    [InlineData("nested", 0.07, 0.12)]
    [InlineData("ragged", 0.06, 0.12)]
    [InlineData("zero", 0.07, 0.13)]
    [InlineData("fp4", 0.09, 0.17)]
    public void Reading_GivesTheGoldenValues(string layer, double least, double most)
    {
        using var set = SafetensorsSet.Open(Golden, "layers");
        using var before = Floats(set, "before." + layer);
        using var after = Floats(set, "after." + layer);
        using var read = QuantizedTensorFiles.Read(set, layer + ".weight", before.Shape);
        using var values = read.Dequantize();
        Assert.Equal(after.ToArray(), values.ToArray());
        // About 20 dB for NF4 of normal weights in blocks of 64.
        Assert.InRange(read.ErrorFrom(before).Relative, least, most);
    }

    // Codes may be stored as wider numbers (quant_storage): the same bytes under another type.
    [Fact]
    public void CodesStoredAsBFloat16_AreTheSameBytes()
    {
        using var folder = new TemporaryFolder();
        using var set = SafetensorsSet.Open(Golden, "layers");
        var writer = new SafetensorsWriter();
        foreach (var name in QuantizedTensorFiles.KeysOf(set, "nested.weight").Append("nested.weight"))
        {
            var (file, entry) = set.Tensors[name];
            if (name == "nested.weight")
                writer.Add(name, SafetensorsDType.BF16, [entry.ByteCount / 2, 1], file.Bytes(entry).ToArray());
            else
                writer.Add(name, entry.DType, [.. entry.Shape], file.Bytes(entry).ToArray());
        }
        writer.Save(folder.File("model.safetensors"));
        using var stored = SafetensorsSet.Open(folder.Path);
        using var read = QuantizedTensorFiles.Read(stored, "nested.weight");
        using var values = read.Dequantize();
        using var after = Floats(set, "after.nested");
        Assert.Equal(after.ToArray(), values.ToArray());
    }

    [Theory]
    [InlineData(64, false, 4.5)]
    [InlineData(64, true, 4.127)]
    [InlineData(32, true, 4.254)]
    [InlineData(128, false, 4.25)]
    public void BitsPerWeight_AreThoseOfTheFormat(int block, bool nested, double bits)
    {
        var options = new QuantizationOptions { BlockSize = block, DoubleQuant = nested };
        Assert.Equal(bits, options.BitsPerWeight, 5e-4);
        using var values = Tensor.Owned(Shape.Of(1024, 1024));
        values.Fill(0.1f);
        using var made = QuantizedTensor.Quantize(values, options, "w");
        // And two tables.
        var tables = 64 + (nested ? 1024 : 0);
        Assert.Equal(bits, (made.ByteCount - tables) * 8.0 / made.Count, 5e-4);
    }

    [Fact]
    public void AValueThatIsNotFinite_NamesTheLayer()
    {
        using var values = Tensor.Owned(Shape.Of(4, 64));
        values.Fill(1);
        values.Span<float>()[200] = float.NaN;
        var error = Assert.Throws<UserErrorException>(
            () => QuantizedTensor.Quantize(values, new QuantizationOptions(), "model.layers.0.mlp.up_proj.weight"));
        Assert.Equal(
            "model.layers.0.mlp.up_proj.weight: weights must be finite to be quantised, but hold NaN or infinity",
            error.Message);
    }

    [Theory]
    [InlineData(48)]
    [InlineData(16)]
    [InlineData(8192)]
    public void ABlockSizeThatIsNoPowerOfTwo_IsRefused(int size) => Assert.Equal(
        $"the quantisation block size must be a power of two from 32 to 4096, but is {size}",
        Assert.Throws<UserErrorException>(() => new QuantizationOptions { BlockSize = size }.Validate()).Message);

    public static TheoryData<string, string, string> Damages => new()
    {
        { ".absmax", "", "has no tensor 'w.weight.absmax', which the 4-bit weight 'w.weight' needs" },
        { ".quant_map", "", "has no tensor 'w.weight.quant_map', which the 4-bit weight 'w.weight' needs" },
        { ".nested_absmax", "", "has no tensor 'w.weight.nested_absmax', which the 4-bit weight 'w.weight' needs" },
        { ".nested_quant_map", "", "has no tensor 'w.weight.nested_quant_map', which the 4-bit weight" },
        { State, "", "has no tensor 'w.weight.quant_state.bitsandbytes__nf4', which the 4-bit weight" },
        { State, "{\"quant_type\"", $"tensor 'w.weight{State}' is not valid JSON" },
        { State, "[1]", $"tensor 'w.weight{State}' must hold a JSON object" },
        { State, Json(type: "int4"), "'quant_type' must be nf4, as its key says, but is \"int4\"" },
        { State, Json(block: "48"), "'blocksize' must be a power of two from 32 to 4096, but is 48" },
        { State, Json(block: "\"x\""), "'blocksize' must be a whole number, but is \"x\"" },
        { State, Json(block: "128"), "tensor 'w.weight.absmax' must have 4 bytes for 4 scales, but has 8" },
        { State, Json(shape: "[8, 65]"), "must have shape (8, 64), but its quant_state has shape (8, 65)" },
        { State, Json(shape: "[512]"), "'shape' must be two positive numbers, but is [512]" },
        { State, Json(dtype: "int8"), "'dtype' must be bfloat16, float16 or float32, but is \"int8\"" },
        { State, Json(offset: "null"), "'nested_offset' must be a finite number, but is missing" },
    };

    private const string State = ".quant_state.bitsandbytes__nf4";

    [Theory]
    [MemberData(nameof(Damages))]
    public void ADamagedState_IsRefusedByName(string part, string content, string message)
    {
        using var folder = new TemporaryFolder();
        Save(folder.File("model.safetensors"), part, content);
        using var set = SafetensorsSet.Open(folder.Path);
        var error = Assert.Throws<UserErrorException>(
            () => QuantizedTensorFiles.Read(set, "w.weight", Shape.Of(8, 64)));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void AnUnknownQuantType_IsRefusedByName()
    {
        using var folder = new TemporaryFolder();
        Save(folder.File("model.safetensors"), State, Json(), ".quant_state.bitsandbytes__int4");
        using var set = SafetensorsSet.Open(folder.Path);
        Assert.Contains(
            "'w.weight' must have one quant_state of type nf4 or fp4, but has 'w.weight.quant_state.bitsandbytes__int4'",
            Assert.Throws<UserErrorException>(() => QuantizedTensorFiles.Read(set, "w.weight")).Message,
            StringComparison.Ordinal);
    }

    private static string Json(
        string type = "nf4", string block = "64", string shape = "[8, 64]", string dtype = "float32",
        string offset = "1.5") =>
        $$"""
        {"quant_type": "{{type}}", "blocksize": {{block}}, "dtype": "{{dtype}}", "shape": {{shape}},
         "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": {{offset}}}
        """;

    // A good file but for one part: left out when its content is empty, exchanged otherwise, or under another name.
    private static void Save(string path, string part, string content, string? rename = null)
    {
        using var values = Tensor.Owned(Shape.Of(8, 64));
        values.Fill(1);
        using var made = QuantizedTensor.Quantize(values, new QuantizationOptions { DoubleQuant = true }, "w.weight");
        var whole = new SafetensorsWriter();
        QuantizedTensorFiles.Add(whole, "w.weight", made);
        whole.Save(path);
        var writer = new SafetensorsWriter();
        using (var file = SafetensorsFile.Open(path))
        {
            foreach (var entry in file.Entries.Values)
            {
                var damaged = entry.Name == "w.weight" + part;
                if (damaged && content.Length == 0)
                    continue;
                var bytes = damaged ? System.Text.Encoding.UTF8.GetBytes(content) : file.Bytes(entry).ToArray();
                long[] shape = damaged ? [bytes.Length] : [.. entry.Shape];
                writer.Add(damaged && rename is not null ? "w.weight" + rename : entry.Name, entry.DType, shape, bytes);
            }
        }
        writer.Save(path);
    }

    private static Tensor Floats(SafetensorsSet set, string key)
    {
        var (file, entry) = set.Tensors[key];
        var values = Tensor.Owned(Shape.Of((int)entry.Shape[0], (int)entry.Shape[1]));
        file.CopyToF32(entry, values.Pointer<float>());
        return values;
    }
}
