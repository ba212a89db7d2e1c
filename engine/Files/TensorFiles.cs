namespace CudaLora.Engine;

/// <summary>Tensors to and from a safetensors file: adapters, optimiser state.</summary>
public static unsafe class TensorFiles
{
    /// <summary>
    /// Writes F32 tensors, stored as F32, BF16 or F16, and U8 tensors as they are, replacing a former file whole.
    /// </summary>
    public static void Write(
        string path, IEnumerable<(string Name, Tensor Value)> tensors, SafetensorsDType storeAs = SafetensorsDType.F32)
    {
        var writer = new SafetensorsWriter();
        foreach (var (name, value) in tensors)
        {
            if (value.DType == DType.U8)
                writer.AddAsItIs(name, value);
            else
                writer.Add(name, value, storeAs);
        }
        writer.Save(path);
    }

    /// <summary>Fills tensors from a file that must have each of them, in the same shape.</summary>
    /// <exception cref="UserErrorException">A tensor is missing or has another shape; the message names
    /// both.</exception>
    public static void Read(string path, IEnumerable<(string Name, Tensor Value)> tensors)
    {
        using var file = SafetensorsFile.Open(path);
        foreach (var (name, value) in tensors)
        {
            var entry = file.Entry(name);
            if (value.DType == DType.U8 != (entry.DType == SafetensorsDType.U8))
                throw new UserErrorException(
                    $"{path}: tensor '{name}' must be {value.DType}, but is {entry.DType.FileName()}: "
                    + "8-bit and 32-bit states do not mix");
            if (!Matches(entry, value.Shape))
                throw new UserErrorException(
                    $"{path}: tensor '{name}' must have shape {value.Shape}, but has {entry.ShapeText}");
            using var host = Tensor.Unscoped(value.Shape, value.DType, Device.Cpu);
            if (value.DType == DType.U8)
            {
                file.Bytes(entry).CopyTo(host.Span<byte>());
                value.CopyFrom(host);
                continue;
            }
            file.CopyToF32(entry, host.Pointer<float>());
            value.Put(host);
        }
    }

    /// <summary>True when a stored tensor has this shape.</summary>
    public static bool Matches(SafetensorsEntry entry, Shape shape)
    {
        if (entry.Shape.Count != shape.Rank)
            return false;
        for (var i = 0; i < shape.Rank; i++)
        {
            if (entry.Shape[i] != shape[i])
                return false;
        }
        return true;
    }
}
