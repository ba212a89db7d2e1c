using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// A trained copy of a whole layer (PEFT's <c>modules_to_save</c>). The base keeps its own values, so switching the
/// adapter off brings them back.
/// </summary>
internal sealed class FullLayer : ILinearAdapter, IEmbeddingAdapter, IDisposable
{
    private readonly Module layer;

    public FullLayer(Module layer)
    {
        this.layer = layer;
        (Weight, Bias) = layer switch
        {
            Linear linear => (Copy(linear.Weight), linear.Bias is null ? null : Copy(linear.Bias)),
            Embedding embedding => (Copy(embedding.Weight), null),
            _ => throw new UserErrorException(
                $"modules_to_save: only linear and embedding layers are supported, but got {layer.Path}"),
        };
    }

    public ParameterPath Path => layer.Path;

    public Parameter Weight { get; }

    public Parameter? Bias { get; }

    public IEnumerable<Parameter> Parameters => Bias is null ? [Weight] : [Weight, Bias];

    /// <summary>True when files hold the weight as (in, out).</summary>
    public bool IsConv1D => layer is Linear { IsConv1D: true };

    public void Activate(bool on)
    {
        if (layer is Linear linear)
            linear.Adapter = on ? this : null;
        else
            ((Embedding)layer).Adapter = on ? this : null;
    }

    public Tensor Forward(Linear linear, Tensor x) => x.Linear(Weight, Bias?.Value);

    public Tensor Forward(Embedding embedding, Tensor ids) => Weight.Value.Embedding(ids);

    public void Dispose()
    {
        foreach (var parameter in Parameters)
            parameter.Dispose();
    }

    private static Parameter Copy(Parameter original)
    {
        var copy = Tensor.Owned(original.Value.Shape);
        copy.CopyFrom(original.Value);
        return new Parameter(original.Path, copy);
    }
}
