namespace CudaLora.Engine;

/// <summary>
/// Parameters from safetensors files, converted to F32. What is missing or has the wrong shape or dtype is collected,
/// and refused by <see cref="Check"/>; until then such parameters are zero.
/// </summary>
/// <param name="weights">The files; needed only while parameters are asked for.</param>
/// <param name="keyOf">The key that holds a parameter, or null if none does; by default its own name.</param>
public sealed unsafe class SafetensorsParameters(SafetensorsSet weights, Func<string, string?>? keyOf = null)
    : ParameterSource
{
    private const int MostNamed = 5;
    private const int Block = 32;

    private readonly HashSet<string> used = new(StringComparer.Ordinal);
    private readonly List<string> missing = [];
    private readonly List<string> wrong = [];

    /// <inheritdoc/>
    public override bool Has(ParameterPath path) => KeyOf(path.Value) is not null;

    /// <inheritdoc/>
    public override Tensor Get(
        ParameterPath path, Shape shape, Initializer initializer, bool storedTransposed = false)
    {
        var tensor = Tensor.Unscoped(shape, DType.F32, Device.Cpu);
        tensor.Clear();
        if (KeyOf(path.Value) is { } key)
            Read(key, tensor, storedTransposed);
        else
            missing.Add($"{path} {shape}");
        return tensor;
    }

    /// <inheritdoc/>
    /// <exception cref="UserErrorException">A part of the 4-bit weight is missing or does not fit.</exception>
    public override QuantizedTensor? GetQuantized(
        ParameterPath path, Shape shape, Initializer initializer, bool storedTransposed = false)
    {
        if (KeyOf(path.Value) is not { } key || !QuantizedTensorFiles.Holds(weights, key))
            return null;
        used.Add(key);
        used.UnionWith(QuantizedTensorFiles.KeysOf(weights, key));
        return QuantizedTensorFiles.Read(weights, key, shape);
    }

    /// <summary>
    /// Refuses files that lacked a parameter asked for, held it in another shape, or hold one nobody asked for.
    /// </summary>
    /// <param name="ignorable">Keys that may be there unused.</param>
    /// <exception cref="UserErrorException">Names the tensors.</exception>
    public void Check(Func<string, bool> ignorable)
    {
        if (wrong.Count > 0)
            throw new UserErrorException(wrong[0]);
        if (missing.Count > 0)
            throw new UserErrorException(
                $"{weights.Folder}: the weights must hold every tensor of the model, but lack {Named(missing)}");
        var unused = weights.Tensors.Keys
            .Where(key => !used.Contains(key) && !ignorable(key))
            .Order(StringComparer.Ordinal)
            .ToArray();
        if (unused.Length > 0)
            throw new UserErrorException(
                $"{weights.Folder}: the weights must be of the model in config.json, but also hold {Named(unused)}");
    }

    private string? KeyOf(string name) =>
        keyOf is not null ? keyOf(name) : weights.Tensors.ContainsKey(name) ? name : null;

    private void Read(string key, Tensor tensor, bool transposed)
    {
        used.Add(key);
        var (file, entry) = weights.Tensors[key];
        var shape = tensor.Shape;
        var stored = transposed ? Shape.Of(shape[1], shape[0]) : shape;
        if (!TensorFiles.Matches(entry, stored) || !entry.DType.ConvertsToF32())
        {
            wrong.Add($"{file.Path}: tensor {FileErrors.Quote(key)} must be F32, F16, BF16 or F64 {stored}, "
                + $"but is {entry.DType.FileName()} {entry.ShapeText}");
            return;
        }
        if (!transposed)
        {
            file.CopyToF32(entry, tensor.Pointer<float>());
            return;
        }
        var copy = Device.Cpu.Rent(tensor.ByteCount);
        file.CopyToF32(entry, (float*)copy.Pointer);
        Transpose((float*)copy.Pointer, tensor.Pointer<float>(), stored[0], stored[1]);
        copy.Release();
    }

    /// <summary>to (columns, rows) = fromᵀ, block by block so that both sides stay in cache.</summary>
    internal static void Transpose(float* from, float* to, int rows, int columns)
    {
        for (var i0 = 0; i0 < rows; i0 += Block)
        {
            for (var j0 = 0; j0 < columns; j0 += Block)
            {
                var (iEnd, jEnd) = (Math.Min(rows, i0 + Block), Math.Min(columns, j0 + Block));
                for (var j = j0; j < jEnd; j++)
                {
                    for (var i = i0; i < iEnd; i++)
                        to[((long)j * rows) + i] = from[((long)i * columns) + j];
                }
            }
        }
    }

    private static string Named(IReadOnlyList<string> names) => string.Join(", ", names.Take(MostNamed))
        + (names.Count > MostNamed ? $" and {names.Count - MostNamed} more" : "");
}
