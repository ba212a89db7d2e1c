namespace CudaLora.Engine;

/// <summary>Element types of the safetensors format; the names are those of the file.</summary>
public enum SafetensorsDType
{
    /// <summary>One byte per element, 0 or 1.</summary>
    BOOL,

    /// <summary>Unsigned 8-bit integer.</summary>
    U8,

    /// <summary>Signed 8-bit integer.</summary>
    I8,

    /// <summary>8-bit float, 5 exponent and 2 mantissa bits.</summary>
    F8E5M2,

    /// <summary>8-bit float, 4 exponent and 3 mantissa bits.</summary>
    F8E4M3,

    /// <summary>8-bit exponent-only scale.</summary>
    F8E8M0,

    /// <summary>Signed 16-bit integer.</summary>
    I16,

    /// <summary>Unsigned 16-bit integer.</summary>
    U16,

    /// <summary>IEEE half precision.</summary>
    F16,

    /// <summary>The upper half of an IEEE single.</summary>
    BF16,

    /// <summary>Signed 32-bit integer.</summary>
    I32,

    /// <summary>Unsigned 32-bit integer.</summary>
    U32,

    /// <summary>IEEE single precision.</summary>
    F32,

    /// <summary>IEEE double precision.</summary>
    F64,

    /// <summary>Signed 64-bit integer.</summary>
    I64,

    /// <summary>Unsigned 64-bit integer.</summary>
    U64,
}

/// <summary>Facts about <see cref="SafetensorsDType"/>.</summary>
public static class SafetensorsDTypes
{
    private static readonly SafetensorsDType[] All = Enum.GetValues<SafetensorsDType>();

    private static readonly string[] Names = Array.ConvertAll(
        All,
        d => d <= SafetensorsDType.F8E8M0
            ? d.ToString().Replace("F8E", "F8_E", StringComparison.Ordinal)
            : d.ToString());

    /// <summary>Bytes per element.</summary>
    public static int Size(this SafetensorsDType dtype) => dtype switch
    {
        <= SafetensorsDType.F8E8M0 => 1,
        <= SafetensorsDType.BF16 => 2,
        <= SafetensorsDType.F32 => 4,
        _ => 8,
    };

    /// <summary>The name in the file, such as <c>F8_E4M3</c>.</summary>
    public static string FileName(this SafetensorsDType dtype) => Names[(int)dtype];

    /// <summary>
    /// True for the types that <see cref="SafetensorsFile.CopyToF32(SafetensorsEntry, Span{float})"/> reads.
    /// </summary>
    public static bool ConvertsToF32(this SafetensorsDType dtype) =>
        dtype is SafetensorsDType.F32 or SafetensorsDType.F16 or SafetensorsDType.BF16 or SafetensorsDType.F64;

    internal static string AllNames { get; } = string.Join(", ", Names);

    internal static bool TryParse(string? name, out SafetensorsDType dtype)
    {
        int i = Array.IndexOf(Names, name);
        dtype = i < 0 ? default : All[i];
        return i >= 0;
    }
}

/// <summary>One tensor of a safetensors file: where it lies and how it is to be read.</summary>
/// <param name="Name">The key in the file.</param>
/// <param name="DType">Element type.</param>
/// <param name="Shape">Dimensions, outermost first; empty for a scalar.</param>
/// <param name="Offset">First byte, from the start of the file.</param>
/// <param name="ByteCount">Length in bytes, equal to the product of the shape times the element size.</param>
public sealed record SafetensorsEntry(
    string Name, SafetensorsDType DType, IReadOnlyList<long> Shape, long Offset, long ByteCount)
{
    /// <summary>Number of elements.</summary>
    public long Count => ByteCount / DType.Size();

    /// <summary>The shape as text, for messages: <c>(2, 3)</c>.</summary>
    public string ShapeText => ShapeToText(Shape);

    internal static string ShapeToText(IReadOnlyList<long> shape) =>
        shape.Count == 1 ? $"({shape[0]},)" : $"({string.Join(", ", shape)})";
}
