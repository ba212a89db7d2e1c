namespace CudaLora.Kernels.Ptx;

/// <summary>Fundamental types of PTX registers, variables and instruction suffixes.</summary>
public enum PtxType
{
#pragma warning disable CS1591 // each name is the PTX suffix itself
    None, Pred,
    B8, U8, S8,
    B16, U16, S16, F16, BF16,
    B32, U32, S32, F32, F16x2, BF16x2, TF32,
    B64, U64, S64, F64,
    B128,
#pragma warning restore CS1591
}

/// <summary>Sizes and names of <see cref="PtxType"/>.</summary>
public static class PtxTypes
{
    private static readonly Dictionary<string, PtxType> ByName = new(StringComparer.Ordinal)
    {
        ["pred"] = PtxType.Pred,
        ["b8"] = PtxType.B8,
        ["u8"] = PtxType.U8,
        ["s8"] = PtxType.S8,
        ["b16"] = PtxType.B16,
        ["u16"] = PtxType.U16,
        ["s16"] = PtxType.S16,
        ["f16"] = PtxType.F16,
        ["bf16"] = PtxType.BF16,
        ["b32"] = PtxType.B32,
        ["u32"] = PtxType.U32,
        ["s32"] = PtxType.S32,
        ["f32"] = PtxType.F32,
        ["f16x2"] = PtxType.F16x2,
        ["bf16x2"] = PtxType.BF16x2,
        ["tf32"] = PtxType.TF32,
        ["b64"] = PtxType.B64,
        ["u64"] = PtxType.U64,
        ["s64"] = PtxType.S64,
        ["f64"] = PtxType.F64,
        ["b128"] = PtxType.B128,
    };

    /// <summary>The type of a suffix such as <c>u32</c> (no dot); false when it is not a type.</summary>
    public static bool TryParse(string suffix, out PtxType type) => ByName.TryGetValue(suffix, out type);

    /// <summary>Bytes in memory. Predicates have none.</summary>
    public static int Size(this PtxType type) => type switch
    {
        PtxType.B8 or PtxType.U8 or PtxType.S8 => 1,
        PtxType.B16 or PtxType.U16 or PtxType.S16 or PtxType.F16 or PtxType.BF16 => 2,
        >= PtxType.B32 and <= PtxType.TF32 => 4,
        >= PtxType.B64 and <= PtxType.F64 => 8,
        PtxType.B128 => 16,
        _ => 0,
    };

    /// <summary>True for s8 to s64.</summary>
    public static bool IsSigned(this PtxType type) =>
        type is PtxType.S8 or PtxType.S16 or PtxType.S32 or PtxType.S64;

    /// <summary>True for f16, bf16, tf32, f32, f64 and the packed pairs.</summary>
    public static bool IsFloat(this PtxType type) =>
        type is PtxType.F16 or PtxType.BF16 or PtxType.F32 or PtxType.F64 or PtxType.F16x2 or PtxType.BF16x2
            or PtxType.TF32;

    /// <summary>The PTX suffix, for messages.</summary>
    public static string Name(this PtxType type) => "." + type.ToString().ToLowerInvariant();
}
