namespace CudaLora.Engine;

/// <summary>
/// Makes the weights of linear layers 4-bit as they are asked for, one at a time: the memory needed is the 4-bit model
/// and one layer.
/// </summary>
/// <param name="source">Gives the values, on the CPU.</param>
/// <param name="options">Type, block size, double quantisation.</param>
/// <param name="includes">Which weights are quantised; the others are passed on.</param>
/// <param name="quantized">Told each weight's error, or null to spare the work.</param>
public sealed class QuantizingParameters(
    ParameterSource source, QuantizationOptions options, Func<ParameterPath, bool> includes,
    Action<QuantizationError>? quantized = null) : ParameterSource
{
    /// <inheritdoc/>
    public override bool Has(ParameterPath path) => source.Has(path);

    /// <inheritdoc/>
    public override Tensor Get(
        ParameterPath path, Shape shape, Initializer initializer, bool storedTransposed = false) =>
        source.Get(path, shape, initializer, storedTransposed);

    /// <inheritdoc/>
    /// <exception cref="UserErrorException">The weight is 4-bit already, or not finite.</exception>
    public override QuantizedTensor? GetQuantized(
        ParameterPath path, Shape shape, Initializer initializer, bool storedTransposed = false)
    {
        if (source.GetQuantized(path, shape, initializer, storedTransposed) is { } before)
        {
            before.Dispose();
            throw new UserErrorException(
                $"{path}: is 4-bit already ({QuantizationOptions.NameOf(before.Options.Type)}); "
                + "quantise the model it was made from");
        }
        if (!includes(path))
            return null;
        using var values = source.Get(path, shape, initializer, storedTransposed);
        var made = QuantizedTensor.Quantize(values, options, path.Value);
        quantized?.Invoke(made.ErrorFrom(values));
        return made;
    }
}
