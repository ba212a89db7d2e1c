namespace CudaLora.Engine;

/// <summary>4-bit data types of bitsandbytes.</summary>
public enum QuantType
{
    /// <summary>NormalFloat: 16 values at the quantiles of a normal distribution.</summary>
    Nf4,

    /// <summary>A float with two exponent bits and one mantissa bit; can be read, not made.</summary>
    Fp4,
}

/// <summary>How weights become 4-bit (Dettmers et al. 2023, arXiv 2305.14314).</summary>
public sealed record QuantizationOptions
{
    /// <summary>Block sizes that files may have.</summary>
    public const int SmallestBlock = 32;

    /// <summary>Block sizes that files may have.</summary>
    public const int LargestBlock = 4096;

    /// <summary>The names <see cref="ParseType"/> accepts.</summary>
    public static IReadOnlyList<string> TypeNames { get; } = ["nf4", "fp4"];

    /// <summary>The data type.</summary>
    public QuantType Type { get; init; } = QuantType.Nf4;

    /// <summary>Weights that share a scale: a power of two from 32 to 4096.</summary>
    public int BlockSize { get; init; } = 64;

    /// <summary>Whether the scales are 8-bit codes themselves, in groups of 256.</summary>
    public bool DoubleQuant { get; init; }

    /// <summary>What the weights were before: F32, BF16 or F16; readers give this type back.</summary>
    public SafetensorsDType ValueType { get; init; } = SafetensorsDType.F32;

    /// <summary>Bits per weight of a large matrix: codes, scales, and scales of scales.</summary>
    public double BitsPerWeight => 4 + (DoubleQuant ? (8.0 + (32.0 / 256)) / BlockSize : 32.0 / BlockSize);

    /// <summary>Bytes of each part of a matrix of so many weights.</summary>
    public IEnumerable<long> PartBytes(long count)
    {
        var blocks = QuantizedTensor.BlocksOf(count, BlockSize);
        var groups = QuantizedTensor.BlocksOf(blocks, QuantizedTensor.GroupSize);
        long[] parts = [(count + 1) / 2, 16 * sizeof(float), DoubleQuant ? blocks : blocks * sizeof(float)];
        return DoubleQuant ? [.. parts, groups * sizeof(float), 256 * sizeof(float)] : parts;
    }

    /// <summary>The type of a name such as nf4, or null.</summary>
    public static QuantType? ParseType(string name) => name switch
    {
        "nf4" => QuantType.Nf4,
        "fp4" => QuantType.Fp4,
        _ => null,
    };

    /// <summary>The name of a type, as files spell it.</summary>
    public static string NameOf(QuantType type) => type == QuantType.Nf4 ? "nf4" : "fp4";

    /// <summary>True for a power of two from 32 to 4096.</summary>
    public static bool IsBlockSize(long size) =>
        size is >= SmallestBlock and <= LargestBlock && System.Numerics.BitOperations.IsPow2(size);

    /// <summary>Checks the values.</summary>
    /// <exception cref="UserErrorException">A block size that is no power of two from 32 to 4096, or FP4.</exception>
    public void Validate()
    {
        if (!IsBlockSize(BlockSize))
            throw new UserErrorException(
                $"the quantisation block size must be a power of two from {SmallestBlock} to {LargestBlock}, "
                + $"but is {BlockSize}");
        if (Type != QuantType.Nf4)
            throw new UserErrorException($"the quant type to make must be nf4, but is {NameOf(Type)} (it can be read)");
    }
}
