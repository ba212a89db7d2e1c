using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// A trained copy of a whole layer (PEFT's <c>modules_to_save</c>). The base keeps its own values until
/// <see cref="Merge"/>, so switching the adapter off brings them back.
/// </summary>
internal sealed class FullLayer : ILinearAdapter, IEmbeddingAdapter, IAdapterLayer
{
    private readonly Module layer;
    private readonly Parameter[] replaced;
    private readonly Parameter[] copies;
    private Tensor[]? original;

    public FullLayer(Module layer)
    {
        this.layer = layer;
        replaced = layer switch
        {
            Linear { Quantized: not null } => throw new UserErrorException(
                $"modules_to_save: {layer.Path} must have weights of floats to be trained in full, but they are 4-bit"),
            Linear { Bias: null } linear => [linear.Weight],
            Linear linear => [linear.Weight, linear.Bias],
            Embedding embedding => [embedding.Weight],
            _ => throw new UserErrorException(
                $"modules_to_save: only linear and embedding layers are supported, but got {layer.Path}"),
        };
        // A tied output layer has its weight from the embedding, but its copy is its own.
        copies = [.. replaced.Select(p => new Parameter(layer.Path / p.Path.Name, Trainable(p.Value)))];
    }

    public Module Layer => layer;

    private Parameter Weight => copies[0];

    /// <summary>The modules that <c>modules_to_save</c> names, by PEFT's rules.</summary>
    /// <exception cref="UserErrorException">A name that no module has; lists what exists.</exception>
    public static IReadOnlyList<Module> Named(CausalLM model, IReadOnlyList<string> names, string? task)
    {
        var found = new List<Module>();
        foreach (var wanted in names)
        {
            var count = found.Count;
            found.AddRange(model.Modules().Where(m => ModuleSelector.NameMatches(wanted, m.Path.Value)));
            // PEFT adds both names that heads of classifiers have.
            var isAbsentHead = task == "SEQ_CLS" && wanted == "classifier";
            if (found.Count == count && !isAbsentHead)
                throw new UserErrorException(
                    $"modules_to_save must name modules of the model, but '{wanted}' is none; there are: "
                    + string.Join(", ", model.Modules().Where(m => m is Linear or Embedding)
                        .Select(m => m.Path.Name).Distinct()));
        }
        return [.. found.Distinct()];
    }

    /// <summary>The trained copies, weight first.</summary>
    public IEnumerable<Parameter> Parameters() => copies;

    /// <summary>The base's own, in the same order.</summary>
    public IEnumerable<Parameter> Merged() => replaced;

    // Files hold the weight of GPT-2's layers as (in, out).
    public IEnumerable<PeftSlot> Slots() => copies.Select(copy => PeftSlot.Of(copy) with
    {
        Transposed = copy == Weight && layer is Linear { IsConv1D: true },
    });

    public void Attach(bool on)
    {
        if (layer is Linear linear)
            linear.Adapter = on ? this : null;
        else
            ((Embedding)layer).Adapter = on ? this : null;
    }

    public Tensor Forward(Linear linear, Tensor x) =>
        x.Linear(Weight, copies.Length > 1 ? copies[1].Value : null);

    public Tensor Forward(Embedding embedding, Tensor ids) => Weight.Value.Embedding(ids);

    /// <summary>Writes the copies into the base, whose own values are put aside.</summary>
    public void Merge()
    {
        if (original is not null)
            return;
        original = [.. replaced.Select(p => Copy(p.Value))];
        for (var i = 0; i < replaced.Length; i++)
            Put(copies[i].Value, replaced[i].Value);
    }

    /// <summary>Brings the base's own values back, bit for bit.</summary>
    public void Unmerge()
    {
        if (original is null)
            return;
        for (var i = 0; i < replaced.Length; i++)
            replaced[i].Value.CopyFrom(original[i]);
        Release();
    }

    public void Dispose()
    {
        foreach (var parameter in copies)
            parameter.Dispose();
        Release();
    }

    internal static Tensor Copy(Tensor values)
    {
        var copy = Tensor.Owned(values.Shape, values.DType, values.Device);
        copy.CopyFrom(values);
        return copy;
    }

    // What trains is F32, whatever the base is.
    private static Tensor Trainable(Tensor values)
    {
        if (values.DType == DType.F32)
            return Copy(values);
        using var host = values.OnHost();
        var copy = Tensor.Owned(values.Shape, device: values.Device);
        copy.Put(host);
        return copy;
    }

    private static void Put(Tensor trained, Tensor into)
    {
        var host = trained.OnHost();
        into.Put(host);
        if (host != trained)
            host.Dispose();
    }

    private void Release()
    {
        foreach (var tensor in original ?? [])
            tensor.Dispose();
        original = null;
    }
}
