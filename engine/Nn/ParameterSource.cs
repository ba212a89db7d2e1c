namespace CudaLora.Engine;

/// <summary>
/// Where a module gets its parameters from: a file, or random numbers. Modules ask by path and shape.
/// </summary>
public abstract class ParameterSource
{
    /// <summary>
    /// The values of <paramref name="path"/> with shape <paramref name="shape"/>, outside any scope: the module
    /// that asks owns them. <paramref name="initializer"/> is used where nothing is stored;
    /// <paramref name="storedTransposed"/> says that a file holds the matrix with its axes exchanged.
    /// </summary>
    public abstract Tensor Get(
        ParameterPath path, Shape shape, Initializer initializer, bool storedTransposed = false);

    /// <summary>
    /// The weight of a linear layer if it is 4-bit, as <see cref="Get"/> gives it otherwise; null if it is not.
    /// </summary>
    public virtual QuantizedTensor? GetQuantized(
        ParameterPath path, Shape shape, Initializer initializer, bool storedTransposed = false) => null;

    /// <summary>Where the values are put.</summary>
    public virtual Device Device => Device.Cpu;

    /// <summary>True when <paramref name="path"/> can be had without its initializer.</summary>
    public abstract bool Has(ParameterPath path);

    /// <summary>A named, frozen parameter with those values.</summary>
    public Parameter Parameter(
        ParameterPath path, Shape shape, Initializer initializer, bool storedTransposed = false) =>
        new(path, Get(path, shape, initializer, storedTransposed));
}
