using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Hands on what a source gives to a model that is being made, and releases all of it when the model does not come
/// about: memory that ran out, a damaged file.
/// </summary>
internal sealed class ModelParts(ParameterSource source) : ParameterSource
{
    private readonly List<IDisposable> given = [];

    public override Device Device => source.Device;

    public override bool Has(ParameterPath path) => source.Has(path);

    public override Tensor Get(
        ParameterPath path, Shape shape, Initializer initializer, bool storedTransposed = false) =>
        Keep(source.Get(path, shape, initializer, storedTransposed));

    public override QuantizedTensor? GetQuantized(
        ParameterPath path, Shape shape, Initializer initializer, bool storedTransposed = false) =>
        source.GetQuantized(path, shape, initializer, storedTransposed) is { } weight ? Keep(weight) : null;

    /// <summary>Makes something else a part of the model.</summary>
    public T Keep<T>(T part)
        where T : IDisposable
    {
        given.Add(part);
        return part;
    }

    /// <summary>Releases every part.</summary>
    public void Release() => given.ForEach(part => part.Dispose());
}
