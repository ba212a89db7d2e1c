using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>A tensor of an adapter file: its key, its values, and whether the file holds them transposed.</summary>
internal readonly record struct PeftSlot(string Key, Tensor Value, bool Transposed = false)
{
    /// <summary>What PEFT puts before the path of a module.</summary>
    public const string Prefix = "base_model.model.";

    /// <summary>A parameter under its own path.</summary>
    public static PeftSlot Of(Parameter parameter) => new(Prefix + parameter.Path.Value, parameter.Value);
}

/// <summary>
/// An adapter's adapter_model.safetensors with PEFT's keys (developer guide "checkpoint format"), such as
/// <c>base_model.model.PATH.lora_A.weight</c> (r, in).
/// </summary>
internal static class PeftFiles
{
    public const string WeightsFile = "adapter_model.safetensors";

    public static void Write(
        IEnumerable<PeftSlot> slots, string folder, SafetensorsDType storeAs = SafetensorsDType.F32)
    {
        var writer = new SafetensorsWriter();
        foreach (var slot in slots)
            writer.Add(slot.Key, slot.Value, storeAs, slot.Transposed);
        writer.Metadata["format"] = "pt";
        writer.Save(Path.Combine(folder, WeightsFile));
    }

    /// <summary>Fills the slots from a folder; returns the tensors in the file that have none.</summary>
    /// <exception cref="UserErrorException">A tensor is missing or has another shape than this base needs.</exception>
    public static IReadOnlyList<string> Read(IEnumerable<PeftSlot> slots, string folder)
    {
        var path = Path.Combine(folder, WeightsFile);
        if (!File.Exists(path) && File.Exists(Path.Combine(folder, "adapter_model.bin")))
            throw new UserErrorException(
                $"{folder}: adapter_model.bin is a Python pickle, which is not read; save it again as {WeightsFile}");
        using var file = SafetensorsFile.Open(path);
        var stored = new Dictionary<string, SafetensorsEntry>(StringComparer.Ordinal);
        foreach (var entry in file.Entries.Values)
        {
            if (!stored.TryAdd(Normalised(entry.Name), entry))
                throw new UserErrorException(
                    $"{path}: each tensor must be there once, but '{entry.Name}' is the same as "
                    + $"'{stored[Normalised(entry.Name)].Name}'");
        }
        foreach (var slot in slots)
        {
            if (!stored.Remove(Normalised(slot.Key), out var entry))
                throw new UserErrorException(
                    $"{path}: has no tensor '{slot.Key}', which adapter_config.json asks for: " +
                    "the adapter is for another base model, or its config was changed");
            Fill(path, file, entry, slot);
        }
        return [.. stored.Values.Select(entry => entry.Name).Order(StringComparer.Ordinal)];
    }

    private static void Fill(string path, SafetensorsFile file, SafetensorsEntry entry, PeftSlot slot)
    {
        var shape = slot.Transposed ? Shape.Of(slot.Value.Shape[1], slot.Value.Shape[0]) : slot.Value.Shape;
        if (!TensorFiles.Matches(entry, shape))
            throw new UserErrorException(
                $"{path}: tensor '{entry.Name}' must have shape {shape} for this base model and rank, " +
                $"but has {entry.ShapeText}");
        if (!slot.Transposed && slot.Value.DType == DType.F32 && slot.Value.Device.Kind == DeviceKind.Cpu)
        {
            file.CopyToF32(entry, slot.Value.Span<float>());
            return;
        }
        using var scope = TensorScope.Begin();
        var values = Tensor.Empty(shape, device: Device.Cpu);
        file.CopyToF32(entry, values.Span<float>());
        slot.Value.Put(slot.Transposed ? values.Transpose(0, 1) : values);
    }

    // Old files spell the adapter's name or a wrapper into the key.
    private static string Normalised(string key) => key
        .Replace(".modules_to_save.default.", ".", StringComparison.Ordinal)
        .Replace(".modules_to_save.", ".", StringComparison.Ordinal)
        .Replace(".base_layer.", ".", StringComparison.Ordinal)
        .Replace(".default.", ".", StringComparison.Ordinal);
}
