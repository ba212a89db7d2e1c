namespace CudaLora.Engine;

/// <summary>
/// Element types a tensor can hold. Arithmetic is F32 on the CPU; the others are storage, indices and casts.
/// </summary>
public enum DType
{
    /// <summary>IEEE-754 binary32.</summary>
    F32,

    /// <summary>bfloat16: the upper 16 bits of an F32.</summary>
    BF16,

    /// <summary>IEEE-754 binary16.</summary>
    F16,

    /// <summary>Signed 32-bit integer: token ids, labels, positions.</summary>
    I32,

    /// <summary>Unsigned byte: packed codes, masks.</summary>
    U8,
}

/// <summary>Facts about <see cref="DType"/>.</summary>
public static class DTypeExtensions
{
    /// <summary>Bytes per element.</summary>
    public static int Size(this DType dtype) => dtype switch
    {
        DType.F32 or DType.I32 => 4,
        DType.BF16 or DType.F16 => 2,
        _ => 1,
    };
}
